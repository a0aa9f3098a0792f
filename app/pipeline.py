"""The money path in four steps: collect, settle, and show twice. Read this first.

machine → poller → inbox → engine → ledger (one commit) → change feed → OPC UA nodes
          collect          settle                          show_accounts
                    └─────────────────────────────────────→ show_tags
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

import structlog

from connectors.poller import Poller
from core.errors import OutcomeUnknown, Unavailable
from core.sample import Sample
from ledger.database_lock import DatabaseLock
from ledger.desk import Desk
from ledger.feed import ChangeFeed
from ledger.store import BookHead
from ledger.writer import Writer
from opcua_server.publisher import LedgerStatus
from opcua_server.server import BankServer
from settlement.engine import Absorbed, Engine
from settlement.meter import Condition

INBOX_LENGTH_MAX = 1_000
"""Deliveries that may wait; a full inbox makes the pollers wait, and counters lose nothing by waiting."""

SAMPLES_PER_COMMIT_MAX = 5_000
RETRY_WAIT_SECONDS = 1.0
DRAIN_SECONDS_MAX = 3.0
CANCEL_AGAIN_SECONDS = 1.0

log = structlog.get_logger()


@dataclass(slots=True)
class PipelineStats:
    """Counted since the pipeline was started."""

    samples: int = 0
    transfers: int = 0
    refused: int = 0
    waiting: dict[str, str] = field(default_factory=dict)
    """Agreements whose usage waits, and why."""


class Pipeline:
    """Moves what the machines say through pricing and the ledger to the screens, until it is cancelled."""

    def __init__(
        self,
        engine: Engine,
        writer: Writer,
        desk: Desk,
        feed: ChangeFeed,
        server: BankServer,
        book: str,
        lock: DatabaseLock | None = None,
    ) -> None:
        self.stats = PipelineStats()
        self._engine = engine
        self._writer = writer
        self._desk = desk
        self._feed = feed
        self._server = server
        self._book = book
        self._lock = lock
        self._head = BookHead(0, 0, b"", 0)
        self.is_settling = True
        self._inbox: asyncio.Queue[list[Sample]] = asyncio.Queue(INBOX_LENGTH_MAX)

    async def run(self, pollers: Sequence[Poller], stop: asyncio.Event) -> None:
        """Until `stop`; then the machines are let go first, and what they said last is settled."""
        async with asyncio.TaskGroup() as tasks:
            settling = tasks.create_task(self._settle())
            showing = tasks.create_task(self._show_accounts())
            reading = [tasks.create_task(poller.run()) for poller in pollers]
            await stop.wait()
            await _end(reading)
            if self.is_settling:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._inbox.join(), DRAIN_SECONDS_MAX)
            settling.cancel()
            showing.cancel()

    @property
    def refused(self) -> int:
        """Payments refused since the start, whoever asked; an agreement's that keeps waiting counts once."""
        return self.stats.refused + self._desk.refused

    async def deliver(self, samples: list[Sample]) -> None:
        """Step 1, collect: the pollers bring their samples here."""
        await self._inbox.put(samples)

    async def settle_what_waits(self) -> None:
        """Ask again for what could not be priced or paid; a quiet machine would else never be asked about."""
        if self.stats.waiting:
            await self.deliver([])

    async def _settle(self) -> None:
        while True:
            samples, deliveries = await self._next_samples()
            await self._server.publisher.publish_samples(samples)  # step 2, show the tags: telling needs no commit
            self.stats.samples += len(samples)
            absorbed = await self._absorb(samples)  # step 3, settle: durable when it returns
            self._tell(absorbed)
            for _ in range(deliveries):
                self._inbox.task_done()

    async def _show_accounts(self) -> None:
        """Step 4, show the accounts: the newest state of each that changed."""
        while True:
            committed, statuses = await self._feed.changes()
            await self._server.publisher.publish_accounts(statuses)
            await self._server.publisher.publish_ledger(self.ledger_status(committed.head))

    def ledger_status(self, head: BookHead) -> LedgerStatus:
        """The book as a whole, as its nodes show it."""
        self._head = head
        return LedgerStatus(self._book, head.seq, head.transfers, self.refused, head.hash, self.is_settling)

    async def _next_samples(self) -> tuple[list[Sample], int]:
        """Everything that was delivered, up to a commit's worth, and in how many deliveries."""
        samples, deliveries = list(await self._inbox.get()), 1
        while not self._inbox.empty() and len(samples) < SAMPLES_PER_COMMIT_MAX:
            samples.extend(self._inbox.get_nowait())
            deliveries += 1
        return samples, deliveries

    async def _absorb(self, samples: list[Sample]) -> Absorbed:
        """Hand the samples to the ledger until it takes them: they are not acknowledged to anyone before."""
        told = False
        while True:
            try:
                await self._keep_lock()
                absorbed = await self._writer.run(self._engine.absorb(samples))
            except (Unavailable, OutcomeUnknown) as problem:
                self._engine.forget()
                if not told:
                    log.warning("the ledger takes nothing; samples wait", problem=str(problem))
                    told = True
                await asyncio.sleep(RETRY_WAIT_SECONDS)
            except Exception:  # a bug of ours, whatever its name: money waits, eyes do not
                log.critical("settling has stopped; tags and balances can still be read", exc_info=True)
                await self._only_show()
            else:
                if told:
                    log.info("the ledger takes payments again")
                return absorbed

    async def _keep_lock(self) -> None:
        """Settle only as long as nobody else does under our name; Unavailable while somebody may."""
        if self._lock is not None and await asyncio.to_thread(self._lock.keep):
            self._engine.reload()
            log.warning("the lock on the ledger was lost with its connection, and is held again")

    async def _only_show(self) -> None:
        self.is_settling = False
        await self._server.publisher.publish_ledger(self.ledger_status(self._head))
        while True:
            samples, _ = await self._next_samples()
            await self._server.publisher.publish_samples(samples)

    def _tell(self, absorbed: Absorbed) -> None:
        """Log changes, not heartbeats: what was found, what began to wait, what waits no more."""
        self.stats.transfers += absorbed.posted
        for finding in absorbed.findings:
            quiet = finding.condition in (Condition.FIRST, Condition.ROLLOVER)
            (log.info if quiet else log.warning)(finding.text, meter=finding.meter, condition=finding.condition.value)
        waiting = {held.agreement: held for held in absorbed.held}
        for agreement, held in waiting.items():
            if self.stats.waiting.get(agreement) != held.code:
                self.stats.refused += any(
                    refused.request.source == f"agreement:{agreement}" for refused in absorbed.refused
                )
                log.warning("usage waits", agreement=agreement, code=held.code, text=held.text)
        for agreement in self.stats.waiting.keys() - waiting.keys():
            log.info("usage waits no more", agreement=agreement)
        self.stats.waiting = {agreement: held.code for agreement, held in waiting.items()}


async def _end(tasks: Sequence[asyncio.Task[NoReturn]]) -> None:
    """Cancel until it is heard: a library below may lose a cancellation."""
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_SECONDS)
