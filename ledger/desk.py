"""Where a single payment is asked for and asked about; every answer is durable."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress

from core.errors import InvariantBroken, OutcomeUnknown, Unavailable
from core.ids import TransferId
from ledger.batch import Batch
from ledger.courier import pay
from ledger.operations import Reader
from ledger.transfer import Outcome, Reason, Refused, Transfer, TransferRequest
from ledger.writer import Writer

REFUSALS_REMEMBERED_MAX = 10_000
"""Ids of which the desk knows why they were refused: who asks again and again is journalled once."""


class Desk:
    """One payment at a time, by whichever door it was asked for."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader
        self._why: OrderedDict[TransferId, Reason] = OrderedDict()
        self.refused = 0
        """Payments refused since the desk was opened."""

    async def post(self, request: TransferRequest) -> Outcome:
        """Pay an account of this book, or of another where `credit` is BOOK/ACCOUNT; posted is then: it has left.

        Unavailable when the ledger cannot take it now, OutcomeUnknown when its answer was lost: ask again with the
        same id. A refusal is journalled."""
        outcome = await self._writer.run(_Payment(self, request))
        if isinstance(outcome, Refused):
            self.refused += 1
            self._why[request.id] = outcome.reason
            if len(self._why) > REFUSALS_REMEMBERED_MAX:
                self._why.popitem(last=False)
        return outcome

    async def expire_holds(self) -> None:
        """Let go of the holds whose time has come; any batch does, this one does nothing else. Another time if the
        ledger cannot take it now."""
        with suppress(Unavailable, OutcomeUnknown, InvariantBroken):
            await self._writer.run(lambda _: None)

    async def find(self, transfer: TransferId) -> Transfer | None:
        return await asyncio.to_thread(self._reader.find, transfer)

    def decide(self, batch: Batch, request: TransferRequest) -> Outcome:
        """Post it, or journal why not."""
        (outcome,) = pay(batch, [request])
        if isinstance(outcome, Refused) and self._why.get(request.id) is not outcome.reason:
            batch.record_refusal(outcome)
        return outcome


class _Payment:
    """The piece of work that a single payment is; it tells the writer what it will look up."""

    def __init__(self, desk: Desk, request: TransferRequest) -> None:
        self._desk = desk
        self.requests = (request,)

    def __call__(self, batch: Batch) -> Outcome:
        return self._desk.decide(batch, *self.requests)
