"""Books with several months behind them, of which some are archived."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from io import StringIO
from pathlib import Path
from typing import Any

from ledgers import START, Book, account, capture, hold, open_book, payment

from core.clock import SECOND, Instant, to_datetime
from core.ids import TransferId, derived_id
from ledger import archived
from ledger.account import AccountId, AccountKind
from ledger.batch import Batch
from ledger.transfer import Refused
from ledger.transfer_files import write_json_lines

DAY = 24 * 3600 * SECOND
MONTHS = (202311, 202312, 202401, 202402)
"""What a book of `write_months` went through, the last one still going on."""


@contextmanager
def archiving_book(url: str, folder: Path, name: str = "test") -> Iterator[Book]:
    """A book whose archives are in `folder`."""
    with open_book(url, name=name) as book:
        archived.keep_in(book.engine, folder)
        yield book


def write_months(book: Book) -> None:
    """Four months with everything in them: holds that are captured in a later month, a reversal of what was paid in an
    earlier one, linked transfers, refusals, a lock, terms that change, an account that is opened late."""
    trading = {"kind": AccountKind.TRADING}
    book.open(
        account("a", "-500 kr", labels={"line": "1"}),
        account("b"),
        account("sek", "-100 kr", **trading),
        account("eur", "-100 EUR", **trading),
        account("c", "0 EUR"),
    )
    book.post(*(payment(f"first {each}", "a", "b", "2 kr", text="rent") for each in range(7)))
    book.place(hold("long", "a", "b", "9 kr", Instant(START + 900 * DAY)))
    book.place(hold("whole", "a", "b", "2 kr"))
    book.place(hold("short", "b", "a", "1 kr", Instant(START + 40 * DAY)))
    book.capture(capture("c1", "long", "1 kr"))
    book.capture(capture("c2", "whole"))
    book.clock.advance(20 * DAY)  # December
    book.post_linked(payment("l1", "a", "sek", "11 kr"), payment("l2", "eur", "c", "1 EUR"))
    book.post(payment("december", "b", "a", "3 kr"), payment("to undo", "a", "b", "1 kr"))
    book.reverse("undone", derived_id("first 3"))
    book.work(_refuse)
    book.clock.advance(30 * DAY)  # January
    book.change("a", name="Ångpanna")
    book.capture(capture("c3", "long", "2 kr"))
    book.post(*(payment(f"january {each}", "a", "b", "1 kr") for each in range(3)))
    book.work(lambda batch: batch.lock_period(Instant(900)))
    book.clock.advance(30 * DAY)  # February
    book.open(account("late"))
    book.post(payment("february", "b", "late", "1 kr"))
    book.add_up(5)


def _refuse(batch: Batch) -> None:
    (refused,) = batch.post([payment("refused", "a", "b", "100000 kr")])
    assert isinstance(refused, Refused)
    batch.record_refusal(refused)


def answers(book: Book) -> dict[str, Any]:
    """Everything that can be asked of the book's past."""
    reader = book.reader
    said: dict[str, Any] = {"export": exported(book)}
    with reader.history() as history:
        transfers = list(history.transfers())
        accounts = [each.id for each in history.accounts]
        said["refusals"] = history.refusals(100)
        said["then"] = {month: history.statuses_at(Instant(START + month * 15 * DAY)) for month in range(7)}
    said["statements"] = {account: statement(book, account) for account in accounts}
    said["found"] = [reader.find(each.id) for each in transfers]
    said["links"] = [astuple(each) for each in reader.overview().links]
    said["last"] = [each.last_transfer for each in reader.overview().statuses]
    said["newest"] = reader.overview().newest
    said["proofs"] = {id: reader.prove(id) for id in proven(book, [each.id for each in transfers])}
    days = sorted({to_datetime(each.posted_time).date() for each in transfers})[:-1]
    said["day seals"] = [reader.day_seal(day) for day in days]
    return said


def exported(book: Book) -> str:
    """Every transfer of the book, a line each."""
    lines = StringIO()
    with book.reader.history() as history:
        write_json_lines(history.transfers(), lines)
    return lines.getvalue()


def proven(book: Book, ids: list[TransferId]) -> list[TransferId]:
    """Those that can be proven already: a later day has begun."""
    last = to_datetime(book.reader.overview().head.posted_time).date()
    posted = {id: book.reader.find(id) for id in ids}
    return [id for id, each in posted.items() if each and to_datetime(each.posted_time).date() < last]


def statement(book: Book, account: str, page: int = 3) -> list[TransferId]:
    """An account's transfers, asked for page by page."""
    found: list[TransferId] = []
    before = None
    while transfers := book.reader.statement(AccountId(account), page, before):
        found += [each.id for each in transfers]
        before = transfers[-1].seq, transfers[-1].position
    return found
