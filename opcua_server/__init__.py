"""Accounts and machines as OPC UA nodes: a picture of the ledger, never the source of anything."""
