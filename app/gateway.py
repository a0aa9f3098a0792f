"""One running Myntverk near its machines: starts its parts in order, stops them in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from app.couriers import Couriers
from app.jobs import Jobs
from app.memory import calm_collector
from app.pipeline import Pipeline
from connectors.poller import Poller
from core.clock import SECOND, Clock, Instant
from core.errors import InvariantBroken
from core.money import Money
from ledger.account import Account, AccountId, Party, PartyId
from ledger.balance import AccountStatus
from ledger.feed import ChangeFeed
from ledger.follower import Follower
from ledger.operations import Reader, open_accounts
from ledger.totals import LinkTotal
from ledger.transfer import Transfer
from ledger.writer import Writer
from opcua_server.server import BankServer
from settlement.engine import Begun, Engine

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a run has come to, read at one instant. Counts are since the start of the run, balances are the book's."""

    seconds: float
    samples: int
    transfers: int
    refused: int
    settling: bool
    """False when a bug of ours has stopped all payments."""
    statuses: Sequence[AccountStatus]
    newest: Sequence[Transfer]
    links: Sequence[LinkTotal]
    """What each agreement's payer paid its payee in this run; zero where nothing moved yet."""
    trial_balance: Mapping[str, Money]
    machines: Mapping[AccountId, str]
    """The connection of the machine behind an account: `good`, or what is wrong."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a gateway is made of; wiring makes them."""

    parties: Sequence[Party]
    accounts: Sequence[Account]
    agreed_links: Sequence[tuple[AccountId, AccountId]]
    machine_of: Mapping[AccountId, str]
    writer: Writer
    reader: Reader
    feed: ChangeFeed
    follower: Follower
    couriers: Couriers
    server: BankServer
    settling: Engine
    pipeline: Pipeline
    pollers: Sequence[Poller]
    jobs: Jobs
    clock: Clock


class Gateway:
    """Runs until its stop event is set, or until a part fails that it cannot do without."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._started: Instant = parts.clock.now()
        self._links_before: dict[tuple[AccountId, AccountId], LinkTotal] = {}

    @property
    def endpoint(self) -> str:
        return self._parts.server.endpoint

    @property
    def reader(self) -> Reader:
        return self._parts.reader

    @property
    def owners(self) -> Mapping[PartyId, str]:
        return {party.id: party.name for party in self._parts.parties}

    def monotonic(self) -> float:
        """Seconds that never step back, for rates on a screen."""
        return self._parts.clock.monotonic()

    async def run(self, stop: asyncio.Event, ready: asyncio.Event | None = None) -> None:
        """Ledger first, then the nodes that show it, then the machines; at the end what they said last is settled.

        InvariantBroken, at the end, when a bug of ours had stopped settling.
        """
        parts = self._parts
        parts.writer.start()
        try:
            await parts.writer.run(open_accounts(parts.parties, parts.accounts))
            self._tell(await parts.writer.run(parts.settling.begin()))
            overview = await asyncio.to_thread(parts.reader.overview)
            self._links_before = {(link.debit, link.credit): link for link in overview.links}
            await parts.server.start(overview.statuses, parts.pipeline.ledger_status(overview.head))
            parts.jobs.start()
            parts.follower.start(overview.head.seq)
            parts.couriers.start()
            self._started = parts.clock.now()
            calm_collector()
            if ready is not None:
                ready.set()
            try:
                await parts.pipeline.run(parts.pollers, stop)
            finally:
                await asyncio.to_thread(parts.couriers.stop)
                parts.jobs.stop()
                await asyncio.to_thread(parts.follower.stop)
                await parts.server.stop()
        finally:
            await asyncio.to_thread(parts.writer.stop)
        if not parts.pipeline.is_settling:
            raise InvariantBroken("settling had stopped before the run ended; the log says when and why")

    def _tell(self, begun: Begun) -> None:
        for finding in begun.findings:
            log.warning(finding.text, meter=finding.meter, condition=finding.condition.value)
        for agreement in begun.ended_owing:
            log.warning("agreement is no longer in the plant's file and something is owed", agreement=agreement)

    async def all_read(self, stop: asyncio.Event, seconds_max: float = 10.0) -> None:
        """Wait until every machine was read once; no longer than that, and not past `stop`."""
        deadline = self._parts.clock.monotonic() + seconds_max
        while not all(poller.stats.samples for poller in self._parts.pollers):
            if stop.is_set() or self._parts.clock.monotonic() > deadline:
                return
            await asyncio.sleep(0.05)

    def snapshot(self) -> Snapshot:
        parts, stats = self._parts, self._parts.pipeline.stats
        overview = parts.reader.overview()
        trial: dict[str, Money] = {}
        for status in overview.statuses:
            code, balance = status.account.currency.code, status.balance
            trial[code] = trial[code] + balance if code in trial else balance
        return Snapshot(
            seconds=(parts.clock.now() - self._started) / SECOND,
            samples=stats.samples,
            transfers=parts.writer.stats.transfers,
            refused=parts.pipeline.refused,
            settling=parts.pipeline.is_settling,
            statuses=overview.statuses,
            newest=overview.newest,
            links=self._links_of_run({(link.debit, link.credit): link for link in overview.links}),
            trial_balance=trial,
            machines=self._machines(),
        )

    def _links_of_run(self, now: Mapping[tuple[AccountId, AccountId], LinkTotal]) -> list[LinkTotal]:
        currencies = {account.id: account.currency for account in self._parts.accounts}
        links = []
        for debit, credit in dict.fromkeys((*self._parts.agreed_links, *now)):
            nothing = LinkTotal(debit, credit, 0, Money.zero(currencies[debit])) if debit in currencies else None
            total = now.get((debit, credit), nothing)
            if total is None:
                continue
            before = self._links_before.get((debit, credit))
            if before is not None:
                total = LinkTotal(debit, credit, total.transfers - before.transfers, total.amount - before.amount)
            links.append(total)
        return links

    def _machines(self) -> dict[AccountId, str]:
        pollers = {poller.machine: poller for poller in self._parts.pollers}
        shown = {}
        for account, machine in self._parts.machine_of.items():
            poller = pollers.get(machine)
            if poller is not None:
                shown[account] = "good" if poller.stats.connected else poller.stats.last_error or "connecting"
        return shown
