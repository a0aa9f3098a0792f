"""The live table of a run: accounts, money per second along each link, machines, last transfers."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from app.gateway import Gateway, Snapshot
from core.clock import to_datetime
from core.money import Money
from ledger.account import AccountId, PartyId

RATE_WINDOW_SECONDS = 10.0
TRANSFERS_SHOWN = 8
NARROW = "\u00a0"
"""Between thousands, as in Swedish."""


@dataclass(slots=True)
class Screen:
    """Draws snapshots of a gateway; remembers the last ten seconds of them for its rates."""

    title: str
    zone: ZoneInfo
    _past: deque[tuple[float, Snapshot]] = field(default_factory=deque)

    def draw(self, gateway: Gateway, snapshot: Snapshot, at: float) -> RenderableType:
        """`at` is the monotonic time of the snapshot, in seconds."""
        self._past.append((at, snapshot))
        while at - self._past[0][0] > RATE_WINDOW_SECONDS:
            self._past.popleft()
        then, before = self._past[0]
        seconds = max(at - then, 0.001)
        rate = (snapshot.transfers - before.transfers) / seconds
        head = Text.assemble(
            (self.title, "bold"),
            f"   {snapshot.seconds:,.0f} s   {snapshot.samples:,} samples   {snapshot.transfers:,} transfers"
            f"   {rate:,.1f}/s   {snapshot.refused} refused   {gateway.endpoint}".replace(",", NARROW),
            ("" if snapshot.settling else "   SETTLING HAS STOPPED: see the log", "bold red"),
        )
        trial = "  ".join(f"{code} {total.plain()}" for code, total in snapshot.trial_balance.items())
        foot = Text.assemble(("sum of all balances  ", "dim"), trial, ("    Ctrl-C ends the run", "dim"))
        return Panel(
            Group(
                self._accounts(snapshot, gateway.owners),
                self._links(snapshot, before, seconds),
                self._last(snapshot),
                foot,
            ),
            title=head,
            title_align="left",
            border_style="grey50",
        )

    def _accounts(self, snapshot: Snapshot, owners: Mapping[PartyId, str]) -> Table:
        table = _table("account", "owner", ">balance", ">available", "machine")
        for status in snapshot.statuses:
            account = status.account
            quality = snapshot.machines.get(account.id)
            shown = Text(quality or "", style="grey50" if quality == "good" else "bold red")
            low = status.balance.units < 0
            table.add_row(
                account.name,
                owners.get(account.owner, account.owner),
                Text(_money(status.balance), style="yellow" if low else ""),
                _money(status.available),
                shown,
            )
        return table

    def _links(self, snapshot: Snapshot, before: Snapshot, seconds: float) -> Table:
        table = _table("payer", "payee", ">transfers", ">paid", ">per second")
        names = {status.account.id: status.account.name for status in snapshot.statuses}
        earlier = {(link.debit, link.credit): link.amount for link in before.links}
        for link in snapshot.links:
            paid = link.amount - earlier.get((link.debit, link.credit), Money.zero(link.amount.currency))
            per_second = paid.amount / Decimal(str(seconds))
            table.add_row(
                _name(names, link.debit),
                _name(names, link.credit),
                f"{link.transfers:,}".replace(",", NARROW),
                _money(link.amount),
                f"{per_second:,.3f}".replace(",", NARROW) if per_second else "–",
            )
        return table

    def _last(self, snapshot: Snapshot) -> Table:
        table = _table("time", "payer", "payee", ">amount", "for")
        names = {status.account.id: status.account.name for status in snapshot.statuses}
        for transfer in snapshot.newest[:TRANSFERS_SHOWN]:
            request = transfer.request
            table.add_row(
                f"{to_datetime(transfer.posted_time).astimezone(self.zone):%H:%M:%S}",
                _name(names, request.debit),
                _name(names, request.credit),
                f"{request.amount.amount:,.4f}".replace(",", NARROW),
                request.text,
            )
        return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="grey50", expand=True)
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", no_wrap=True)
    return table


def _money(money: Money) -> str:
    return f"{money.amount:,.2f} {money.currency}".replace(",", NARROW)


def _name(names: dict[AccountId, str], account: AccountId) -> str:
    return names.get(account, account)
