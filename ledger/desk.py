"""Where a single payment is asked for and asked about; every answer is durable."""

from __future__ import annotations

import asyncio

from core.ids import TransferId
from ledger.operations import Reader
from ledger.transfer import Outcome, Refused, Transfer, TransferRequest
from ledger.writer import Writer


class Desk:
    """One payment at a time, by whichever door it was asked for."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader
        self.refused = 0
        """Payments refused since the desk was opened."""

    async def post(self, request: TransferRequest) -> Outcome:
        """Unavailable when the ledger cannot take it now: ask again with the same id."""
        outcomes = await self._writer.post([request])
        self.refused += isinstance(outcomes[0], Refused)
        return outcomes[0]

    async def find(self, transfer: TransferId) -> Transfer | None:
        return await asyncio.to_thread(self._reader.find, transfer)
