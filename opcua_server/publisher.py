"""Ledger and machines onto the nodes: only what changed, older news never over newer."""

from __future__ import annotations

import asyncio
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
    LEDGER_VARIABLES,
    MachineNode,
    PlainValue,
    Plant,
    ValueType,
    account_node_id,
    account_values,
    ledger_node_id,
    machine_node_id,
    tag_node_id,
)
from opcua_server.nodes import data_value, ua_node_id, ua_status, waiting

WRITES_PER_TURN = 200
"""Node writes before other tasks get the event loop: some 2 ms unwatched, 16 ms when every node is subscribed."""

_INT64 = range(-(2**63), 2**63)
_STATUS = {
    Quality.GOOD: ua_status(StatusCodes.Good),
    Quality.UNCERTAIN: ua_status(StatusCodes.Uncertain),
    Quality.BAD: ua_status(StatusCodes.BadCommunicationError),
}
_MISMATCH = ua_status(StatusCodes.BadTypeMismatch)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """The book as a whole: batches, transfers, requests refused since start, and the last batch's seal."""

    book: str
    sequence: int
    transfers: int
    refused: int
    journal_head: bytes


@dataclass(slots=True)
class _Machine:
    """What is known of a machine's tags: the newest quality of each and its reason."""

    qualities: dict[TagId, tuple[Quality, str]] = field(default_factory=dict)

    @property
    def connected(self) -> bool:
        return any(quality is not Quality.BAD for quality, _ in self.qualities.values())

    @property
    def summary(self) -> str:
        if not self.qualities:
            return "waiting for the first reading"
        tag, (worst, reason) = max(self.qualities.items(), key=lambda item: item[1][0])
        if worst is Quality.GOOD:
            return "good"
        return f"{worst.name.lower()}: {tag}" + (f": {reason}" if reason else "")


class Publisher:
    """Writes node values. One publication at a time, so that none overtakes another."""

    def __init__(self, server: Server, plant: Plant, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._owners = plant.owners
        self._tags = {tag_id(machine.id, tag.name): tag.type for machine in plant.machines for tag in machine.tags}
        self._machines = {machine.id: _Machine() for machine in plant.machines}
        self._accounts: dict[AccountId, AccountStatus | None] = {}
        self._shown: dict[str, tuple[PlainValue, int]] = {}
        self._unknown: set[str] = set()
        self._turn = asyncio.Lock()

    async def begin(self, accounts: Iterable[AccountStatus], machines: Iterable[MachineNode]) -> None:
        """The first picture: the ledger's truth, and machines that have not been read yet."""
        statuses = list(accounts)
        self._accounts = dict.fromkeys((status.account.id for status in statuses), None)
        await self.publish_accounts(statuses)
        now = to_datetime(self._clock.now())
        for machine in machines:
            for tag in machine.tags:
                node = ua_node_id(tag_node_id(tag_id(machine.id, tag.name)))
                await self._server.write_attribute_value(node, waiting(now))
            await self._write_all(self._machine_changes(machine.id, now))

    async def publish_accounts(self, statuses: Iterable[AccountStatus]) -> None:
        """Show the newest status of each account; one that is older than what is shown changes nothing."""
        async with self._turn:
            newest: dict[AccountId, AccountStatus] = {}
            for status in statuses:
                shown = newest.get(status.account.id) or self._accounts.get(status.account.id)
                if shown is None or status.seq >= shown.seq:
                    newest[status.account.id] = status
            known = [status for id, status in newest.items() if self._is_known("account", id, id in self._accounts)]
            self._accounts.update((status.account.id, status) for status in known)
            now = to_datetime(self._clock.now())
            await self._write_all(change for status in known for change in self._account_changes(status, now))

    async def publish_samples(self, samples: Iterable[Sample]) -> None:
        """Show each tag's newest sample. A bad one keeps the last value on the node, with the bad status."""
        async with self._turn:
            newest = {sample.tag: sample for sample in samples}
            known = [sample for tag, sample in newest.items() if self._is_known("tag", tag, tag in self._tags)]
            for sample in known:
                self._machines[_machine_of(sample.tag)].qualities[sample.tag] = (sample.quality, sample.reason)
            now = to_datetime(self._clock.now())
            await self._write_all(change for sample in known for change in self._sample_changes(sample, now))
            for machine in dict.fromkeys(_machine_of(sample.tag) for sample in known):
                await self._write_all(self._machine_changes(machine, now))

    async def publish_ledger(self, status: LedgerStatus) -> None:
        """Show the book as a whole."""
        values: tuple[PlainValue, ...] = (
            status.book,
            status.sequence,
            status.transfers,
            status.refused,
            status.journal_head.hex(),
        )
        async with self._turn:
            now = to_datetime(self._clock.now())
            await self._write_all(
                change
                for (name, type_, _), value in zip(LEDGER_VARIABLES, values, strict=True)
                for change in self._change(ledger_node_id(name), value, type_, now, now)
            )

    def _account_changes(self, status: AccountStatus, now: datetime) -> Iterator[tuple[str, ua.DataValue]]:
        changed = to_datetime(status.last_transfer.posted_time) if status.last_transfer else now
        owner = self._owners.get(status.account.owner, status.account.owner)
        for variable, value in account_values(status, owner):
            yield from self._change(
                account_node_id(status.account.id, variable.path), value, variable.type, changed, now
            )

    def _sample_changes(self, sample: Sample, now: datetime) -> Iterator[tuple[str, ua.DataValue]]:
        id, type_ = tag_node_id(sample.tag), self._tags[sample.tag]
        last, _ = self._shown.get(id, (None, 0))
        status = _STATUS[sample.quality]
        try:
            value = last if sample.value is None else plain(sample.value, type_)
        except ValueError:
            value, status = last, _MISMATCH
        yield from self._change(id, value, type_, to_datetime(sample.source_time), now, status)

    def _machine_changes(self, machine: str, now: datetime) -> Iterator[tuple[str, ua.DataValue]]:
        state = self._machines[machine]
        yield from self._change(machine_node_id(machine, "Connected"), state.connected, ValueType.BOOLEAN, now, now)
        yield from self._change(machine_node_id(machine, "Quality"), state.summary, ValueType.STRING, now, now)

    def _change(
        self,
        id: str,
        value: PlainValue,
        type_: ValueType,
        source_time: datetime,
        now: datetime,
        status: ua.StatusCode = _STATUS[Quality.GOOD],
    ) -> Iterator[tuple[str, ua.DataValue]]:
        if self._shown.get(id) != (value, status.value):
            self._shown[id] = (value, status.value)
            yield id, data_value(value, type_, source_time, now, status)

    async def _write_all(self, changes: Iterable[tuple[str, ua.DataValue]]) -> None:
        for count, (id, value) in enumerate(changes, start=1):
            await self._write(ua_node_id(id), value)
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

    def _is_known(self, kind: str, id: str, known: bool) -> bool:
        """Whether there is a node for it; the first time that there is none, say so."""
        if not known and id not in self._unknown:
            self._unknown.add(id)
            _log.warning(f"{kind} has no node before the next start", **{kind: id})
        return known


def _machine_of(tag: TagId) -> str:
    return tag.partition(".")[0]


def plain(value: Value, type_: ValueType) -> PlainValue:
    """A sample's value in the type its node declares; ValueError when it does not fit."""
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if type_ is ValueType.BOOLEAN and isinstance(value, bool):
        return value
    if type_ is ValueType.STRING and isinstance(value, str):
        return value
    if type_ is ValueType.DOUBLE and is_number:
        try:
            return float(value)  # type: ignore[arg-type]
        except OverflowError:
            pass
    if type_ is ValueType.INT64 and is_number and value == int(value) and int(value) in _INT64:  # type: ignore[arg-type]
        return int(value)
    raise ValueError(f"expected {type_.name.lower()}, got {value!r}")
