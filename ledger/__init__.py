"""Double-entry truth: synchronous, append-only, one transaction per batch."""
