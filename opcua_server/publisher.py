"""Ledger and machines onto the nodes: only what changed, older news never over newer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import structlog
from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from core.clock import Clock, to_datetime
from core.sample import Quality, Sample, TagId, Value, tag_id
from ledger.account import AccountId
from ledger.balance import AccountStatus
from opcua_server.address_space import (
    ACCOUNT_VARIABLES,
    LEDGER_VARIABLES,
    PlainValue,
    Plant,
    ValueType,
    account_node_id,
    ledger_node_id,
    machine_node_id,
    tag_node_id,
)
from opcua_server.nodes import data_value, ua_node_id, ua_status, waiting

WRITES_PER_TURN = 200
"""Node writes before other tasks get the event loop: some 2 ms unwatched, 16 ms when every node is subscribed."""

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_DOUBLE_MAX = int(sys.float_info.max)
_STATUS = {
    Quality.GOOD: ua_status(StatusCodes.Good),
    Quality.UNCERTAIN: ua_status(StatusCodes.Uncertain),
    Quality.BAD: ua_status(StatusCodes.BadCommunicationError),
}
_MISMATCH = ua_status(StatusCodes.BadTypeMismatch)
_log = structlog.get_logger()

Change = tuple[ua.NodeId, ua.DataValue]


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """The book as a whole: batches, transfers, requests refused since start, and the last batch's seal."""

    book: str
    sequence: int
    transfers: int
    refused: int
    journal_head: bytes
    settling: bool = True


@dataclass(slots=True)
class _Shown:
    """A node and what it shows, so that only changes are written."""

    node: ua.NodeId
    type: ValueType
    value: PlainValue = None
    status: ua.StatusCode | None = None

    @classmethod
    def at(cls, id: str, type_: ValueType) -> _Shown:
        return cls(ua_node_id(id), type_)

    def change(
        self, value: PlainValue, source_time: datetime, now: datetime, status: ua.StatusCode = _STATUS[Quality.GOOD]
    ) -> Iterator[Change]:
        if self.status != status or self.value != value:
            self.value, self.status = value, status
            yield self.node, data_value(value, self.type, source_time, now, status)


@dataclass(slots=True)
class _Account:
    """An account's newest status, and its nodes in the order of ACCOUNT_VARIABLES."""

    nodes: tuple[_Shown, ...]
    status: AccountStatus | None = None

    @classmethod
    def of(cls, id: AccountId) -> _Account:
        return cls(
            tuple(_Shown.at(account_node_id(id, variable.path), variable.type) for variable in ACCOUNT_VARIABLES)
        )


@dataclass(slots=True)
class _Machine:
    """What is known of a machine's tags: the newest quality of each and its reason."""

    connected: _Shown
    quality: _Shown
    tags: dict[TagId, tuple[Quality, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, id: str) -> _Machine:
        return cls(
            _Shown.at(machine_node_id(id, "Connected"), ValueType.BOOLEAN),
            _Shown.at(machine_node_id(id, "Quality"), ValueType.STRING),
        )

    def changes(self, now: datetime) -> Iterator[Change]:
        yield from self.connected.change(any(quality is not Quality.BAD for quality, _ in self.tags.values()), now, now)
        yield from self.quality.change(self._summary(), now, now)

    def _summary(self) -> str:
        if not self.tags:
            return "waiting for the first reading"
        tag, (worst, reason) = max(sorted(self.tags.items()), key=lambda item: item[1][0])
        if worst is Quality.GOOD:
            return "good"
        return f"{worst.name.lower()}: {tag}" + (f": {reason}" if reason else "")


class Publisher:
    """Writes node values. One publication at a time, so that none overtakes another."""

    def __init__(self, server: Server, plant: Plant, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._owners = plant.owners
        self._accounts: dict[AccountId, _Account] = {}
        self._tags = {
            id: _Shown.at(tag_node_id(id), tag.type)
            for machine in plant.machines
            for tag in machine.tags
            for id in (tag_id(machine.id, tag.name),)
        }
        self._machines = {machine.id: _Machine.of(machine.id) for machine in plant.machines}
        self._ledger = [_Shown.at(ledger_node_id(name), type_) for name, type_, _ in LEDGER_VARIABLES]
        self._unknown: set[str] = set()
        self._turn = asyncio.Lock()

    async def begin(self, accounts: Iterable[AccountStatus], ledger: LedgerStatus | None) -> None:
        """The first picture: the ledger's truth, and machines that have not been read yet."""
        statuses = list(accounts)
        self._accounts = {status.account.id: _Account.of(status.account.id) for status in statuses}
        await self.publish_accounts(statuses)
        if ledger is not None:
            await self.publish_ledger(ledger)
        now = self._now()
        await self._write_all((tag.node, waiting(now)) for tag in self._tags.values())
        await self._write_all(change for machine in self._machines.values() for change in machine.changes(now))

    async def publish_accounts(self, statuses: Iterable[AccountStatus]) -> None:
        """Show the newest status of each account; one that is older than what is shown changes nothing."""
        async with self._turn:
            changed: dict[AccountId, _Account] = {}
            for status in statuses:
                account = self._accounts.get(status.account.id)
                if account is None:
                    self._no_node("account", status.account.id)
                elif account.status is None or status.seq >= account.status.seq:
                    account.status = status
                    changed[status.account.id] = account
            now = self._now()
            await self._write_all(change for account in changed.values() for change in self._account(account, now))

    async def publish_samples(self, samples: Iterable[Sample]) -> None:
        """Show each tag's newest sample. A bad one keeps the last value on the node, with the bad status."""
        async with self._turn:
            newest = {sample.tag: sample for sample in samples}
            machines: dict[str, _Machine] = {}
            for unknown in [tag for tag in newest if tag not in self._tags]:
                self._no_node("tag", unknown)
                del newest[unknown]
            for sample in newest.values():
                name = sample.tag.partition(".")[0]
                machines[name] = self._machines[name]
                machines[name].tags[sample.tag] = (sample.quality, sample.reason)
            now = self._now()
            await self._write_all(change for sample in newest.values() for change in self._sample(sample, now))
            await self._write_all(change for machine in machines.values() for change in machine.changes(now))

    async def publish_ledger(self, status: LedgerStatus) -> None:
        """Show the book as a whole."""
        values: tuple[PlainValue, ...] = (
            status.book,
            status.sequence,
            status.transfers,
            status.refused,
            status.journal_head.hex(),
            status.settling,
        )
        async with self._turn:
            now = self._now()
            await self._write_all(
                change
                for shown, value in zip(self._ledger, values, strict=True)
                for change in shown.change(value, now, now)
            )

    def _account(self, account: _Account, now: datetime) -> Iterator[Change]:
        status = account.status
        if status is None:
            return
        source_time = to_datetime(status.last_transfer.posted_time) if status.last_transfer else now
        owner = self._owners.get(status.account.owner, status.account.owner)
        for shown, variable in zip(account.nodes, ACCOUNT_VARIABLES, strict=True):
            yield from shown.change(variable.value(status, owner), source_time, now)

    def _sample(self, sample: Sample, now: datetime) -> Iterator[Change]:
        shown = self._tags[sample.tag]
        value, status = shown.value, _STATUS[sample.quality]
        if sample.value is not None:
            try:
                value = plain(sample.value, shown.type)
            except ValueError:
                status = _MISMATCH
        yield from shown.change(value, to_datetime(sample.source_time), now, status)

    async def _write_all(self, changes: Iterable[Change]) -> None:
        for count, (node, value) in enumerate(changes, start=1):
            await self._write(node, value)
            if count % WRITES_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _write(self, node: ua.NodeId, value: ua.DataValue) -> None:
        if value.StatusCode is None or not value.StatusCode.is_bad():
            await self._server.write_attribute_value(node, value)
            return
        # asyncua's write would clear the value of a bad status; screens go on showing the last one, marked bad
        attribute = self._server.iserver.aspace[node].attributes[AttributeIds.Value]
        attribute.value = value
        for handle, notify in list(attribute.datachange_callbacks.items()):
            await notify(handle, value)

    def _now(self) -> datetime:
        return to_datetime(self._clock.now())

    def _no_node(self, kind: str, id: str) -> None:
        """Say so, the first time."""
        if id not in self._unknown:
            self._unknown.add(id)
            _log.warning(f"{kind} has no node before the next start", **{kind: id})


def plain(value: Value, type_: ValueType) -> PlainValue:
    """A sample's value in the type its node declares; ValueError when it does not fit."""
    if type_ is ValueType.BOOLEAN and isinstance(value, bool):
        return value
    if type_ is ValueType.STRING and isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        if type_ is ValueType.DOUBLE and number.is_finite() and abs(number) <= _DOUBLE_MAX:
            return float(number)
        if type_ is ValueType.INT64 and number.is_finite() and _INT64_MIN <= number <= _INT64_MAX and number % 1 == 0:
            return int(number)
    raise ValueError(f"expected {type_.name.lower()}, got {str(value)[:40]!r}")
