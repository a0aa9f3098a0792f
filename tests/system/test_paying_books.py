"""Two halls, each a gateway with a book of its own, pay each other through one PostgreSQL; one of them is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from app import wiring
from config.plant import load_plant
from ledger.operations import Reader
from ledger.reconciliation import Reconciliation, reconcile
from opcua_server.security import write_password_file
from tests.support.plant import PASSWORD, Running, eventually, myntverk
from tests.support.scada import Screen, screen

PAYMENTS = 40
KILLED_AFTER = 20
PAYEES = ("agv", "agv", "nobody")
"""Every third payment is refused by the other book, and comes back."""
SECONDS_MAX = 60.0
NO_BOOK = "unknown_book: there is no book 'hall-2' in this database"

PLANT = """
plant: {{name: {book}}}
ledger: {{url: "{url}", book: {book}, gateway: {book}, pays: [{other}], owner: maker}}
parties: {{maker: {{name: Tillverkaren AB}}}}
accounts:
  line: {{owner: maker, name: Linje, floor: -1000 kr}}
  agv: {{owner: maker, name: Truck}}
opcua: {{endpoint: "opc.tcp://127.0.0.1:0"}}
users:
  anna: {{role: operator, pays_from: [line], password_file: anna}}
"""


class Hall:
    """A gateway as a process of its own, and what an operator does with it."""

    def __init__(self, folder: Path, url: str, book: str, other: str) -> None:
        self.book, self.other = book, other
        self.data = folder / "data"
        self.file = folder / f"{book}.yaml"
        self.file.write_text(PLANT.format(book=book, other=other, url=url))
        write_password_file(self.data / "anna", PASSWORD)
        self._log = folder / f"{book}.log"
        self._runs: list[Running] = []

    @property
    def running(self) -> Running:
        return self._runs[-1]

    def start(self) -> None:
        """Until clients can connect."""
        self._runs.append(Running(self.file, self.data, self._log))
        assert self.running.endpoint

    def close(self) -> None:
        for each in self._runs:
            if each.process.poll() is None:
                each.kill()

    @property
    def reader(self) -> Reader:
        return wiring.reader(load_plant(self.file), self.data)

    def between(self) -> Reconciliation:
        books = wiring.books(load_plant(self.file), self.data)
        return reconcile(books[self.book], books[self.other])

    def balance(self, account: str) -> str:
        (found,) = (each for each in self.reader.overview().statuses if each.account.id == account)
        return str(found.balance)

    async def pay(self, first: int, last: int, killed_after: int | None = None) -> None:
        """Pay the other hall so many times, 1 kr each, as a PLC does; at one of them this hall dies."""
        async with screen(self.running.endpoint, "anna", PASSWORD) as seen:
            for n in range(first, last):
                if n == killed_after:
                    self.running.kill()
                code, text, _ = await self._pay(seen, n)
                assert code in (0, 1), text
                assert f"to {self.other}/" in text

    async def _pay(self, seen: Screen, n: int) -> Any:
        payee = f"{self.other}/{PAYEES[n % len(PAYEES)]}"
        asked = [f"{n}", "1", "SEK", payee, f"R{n}"]
        line, method = seen.node("Accounts.line"), seen.node("Accounts.line.PayDecimal")
        return await asyncio.wait_for(line.call_method(method, *asked), SECONDS_MAX)


@pytest.fixture
def halls(tmp_path: Path, postgresql_url: str) -> Iterator[tuple[Hall, Hall]]:
    with two_halls(tmp_path, postgresql_url) as found:
        for hall in found:
            hall.start()
        yield found


@contextmanager
def two_halls(folder: Path, url: str) -> Iterator[tuple[Hall, Hall]]:
    halls = Hall(folder, url, "hall-1", "hall-2"), Hall(folder, url, "hall-2", "hall-1")
    try:
        yield halls
    finally:
        for hall in halls:
            hall.close()


async def test_two_gateways_pay_each_other_though_one_is_killed_in_the_middle(halls: tuple[Hall, Hall]) -> None:
    one, other = halls
    there, back = await asyncio.gather(
        one.pay(0, PAYMENTS), other.pay(0, PAYMENTS, KILLED_AFTER), return_exceptions=True
    )
    assert there is None, there
    assert isinstance(back, OSError | ua.UaError | TimeoutError), back
    await one.pay(PAYMENTS, PAYMENTS + 1)  # whatever was under way before: this one finds nobody there
    assert (one.between().misfit, one.between().is_settled) == ("", False)
    other.start()
    await other.pay(0, PAYMENTS + 1)
    eventually(lambda: one.between().is_settled, SECONDS_MAX, "everything to arrive or to come back")
    paid = sum(PAYEES[n % len(PAYEES)] == "agv" for n in range(PAYMENTS + 1))
    for hall in halls:
        assert (hall.balance("line"), hall.balance("agv")) == (f"-{paid}.00 SEK", f"{paid}.00 SEK")
        assert hall.balance(f"clearing-{hall.other}-sek") == hall.balance("unclaimed-sek") == "0.00 SEK"
        assert hall.between().misfit == ""
        assert hall.reader.verify().faults == ()
    assert one.running.told("payments to another book came back", book="hall-2")
    assert [hall.running.end() for hall in halls] == [0, 0]
    said = myntverk("ledger", "reconcile", "--plant", one.file)
    assert (said.returncode, said.stderr) == (0, "")
    assert "add up to 0.00" in said.stdout


async def test_on_one_file_a_payment_waits_until_the_other_books_gateway_runs(tmp_path: Path) -> None:
    with two_halls(tmp_path, f"sqlite:///{tmp_path / 'data' / 'book.db'}") as (one, other):
        one.start()
        await one.pay(1, 3)  # one to the truck, one to nobody
        assert one.running.told("what another book sends waits", book="hall-2", problem=NO_BOOK)
        assert one.running.end() == 0
        other.start()
        eventually(lambda: other.running.told("payments of another book were refused"), SECONDS_MAX, "their arrival")
        assert other.running.end() == 0
        assert (other.balance("agv"), one.balance("line")) == ("1.00 SEK", "-2.00 SEK")
        one.start()
        eventually(lambda: one.running.told("payments to another book came back"), SECONDS_MAX, "what comes back")
        assert one.running.end() == 0
        assert one.balance("line") == "-1.00 SEK"
        assert one.between().is_settled
