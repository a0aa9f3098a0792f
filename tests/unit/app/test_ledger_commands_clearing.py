"""`myntverk ledger reconcile`: what two books owe each other, said to people and to programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_plants import LedgerPlant, plant_of
from ledgers import account, payment
from paying_books import PayingBooks, open_books

from core.errors import Misconfigured
from ledger.transfer import Posted

THEN = "2023-11-14T22:13:20.000000Z"


@pytest.fixture
def books(database_url: str) -> Iterator[PayingBooks]:
    with open_books(database_url, "test", "hall-2") as books:
        books["test"].open(account("p", "-100 kr"))
        books["hall-2"].open(account("q"))
        yield books


@pytest.fixture
def plant(tmp_path: Path, database_url: str) -> LedgerPlant:
    return plant_of(tmp_path, database_url, pays=["hall-2"])


def test_what_is_under_way_is_shown_and_no_fault(plant: LedgerPlant, books: PayingBooks) -> None:
    first, second = books.send("test", "hall-2", payment("1", "p", "q", "5 kr"), payment("2", "p", "nobody", "7 kr"))
    assert isinstance(first, Posted)
    assert isinstance(second, Posted)
    one, two = (f"{each.transfer.seq}/{each.transfer.position}" for each in (first, second))
    assert plant.lines("reconcile") == [
        "test to hall-2: nothing was taken in yet, 2 under way",
        "hall-2 to test: nothing was taken in yet, 0 under way",
        f"  {THEN}              5.00 SEK  test to hall-2       p pays q  entry {one}",
        f"  {THEN}              7.00 SEK  test to hall-2       p pays nobody  entry {two}",
        "test and hall-2: 12.00 SEK for hall-2 and 0.00 SEK for test add up to 12.00 SEK, which is under way",
    ]
    books.deliver("test", "hall-2")
    said = plant.lines("reconcile")
    assert said[0] == f"test to hall-2: taken in up to entry {two}, 0 under way"
    assert "7.00 SEK  hall-2 to test       refused: unknown_credit_account" in said[2]
    books.deliver("hall-2", "test")
    assert plant.lines("reconcile")[2:] == [
        "test and hall-2: 5.00 SEK for hall-2 and -5.00 SEK for test add up to 0.00 SEK"
    ]


def test_programs_are_told_the_same(plant: LedgerPlant, books: PayingBooks) -> None:
    books.send("test", "hall-2", payment("1", "p", "nobody", "5 kr"))
    (before,) = plant.read("reconcile")["books"]
    (owed,) = before["owed"]
    assert owed.pop("currency") == "SEK"
    assert {key: Decimal(text) for key, text in owed.items()} == {
        "ours": 5,
        "theirs": 0,
        "under_way": 5,
        "difference": 0,
    }
    assert (before["fits"], before["settled"], before["why"]) == (True, False, "")
    (parcel,) = before["under_way"]
    assert (parcel["from"], parcel["to"], parcel["payee"]) == ("test", "hall-2", "nobody")
    assert Decimal(parcel["amount"]) == 5
    assert parcel["transfer"]["debit"] == "p"
    books.deliver("test", "hall-2")
    (refused,) = plant.read("reconcile")["books"][0]["under_way"]
    assert (refused["from"], refused["to"], refused["reason"]) == ("hall-2", "test", "unknown_credit_account")
    books.deliver_all()
    after = plant.read("reconcile")
    assert (after["fits"], after["books"][0]["settled"], after["books"][0]["under_way"]) == (True, True, [])
    ways = [(way["from"], way["to"], way["under_way"]) for way in after["books"][0]["taken_in"]]
    assert ways == [("test", "hall-2", 0), ("hall-2", "test", 0)]


def test_books_that_do_not_fit_are_said_so_and_the_exit_code_is_one(plant: LedgerPlant, books: PayingBooks) -> None:
    books.send("test", "hall-2", payment("1", "p", "q", "5 kr"))
    books.post_unguarded("test", payment("2", "p", "clearing-hall-2-sek", "1 kr"))
    result = plant.run("reconcile")
    assert result.exit_code == 1
    *_, total, wrong = result.stdout.replace("\N{NO-BREAK SPACE}", " ").splitlines()
    assert total == (
        "test and hall-2: 6.00 SEK for hall-2 and 0.00 SEK for test add up to 6.00 SEK, but 5.00 SEK is under way"
    )
    assert wrong.startswith("test and hall-2 do NOT fit: transfer ")
    assert wrong.endswith("was made by hand: it goes on to nobody and answers nothing")
    said = json.loads(plant.run("reconcile", "--json").stdout)
    assert (said["fits"], said["books"][0]["fits"]) == (False, False)
    assert said["books"][0]["why"] in wrong
    assert Decimal(said["books"][0]["owed"][0]["difference"]) == 1


def test_a_book_that_is_not_there_is_named_and_the_others_are_compared(
    tmp_path: Path, database_url: str, books: PayingBooks
) -> None:
    plant = plant_of(tmp_path, database_url, pays=["hall-9", "hall-2"])
    result = plant.run("reconcile")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == (
        "test and hall-9 CANNOT be compared: unknown_book: there is no book 'hall-9' in this database"
    )
    assert "test and hall-2" in result.stdout
    said = json.loads(plant.run("reconcile", "--json").stdout)
    assert [each["fits"] for each in said["books"]] == [False, True]


def test_a_book_that_pays_no_other_has_nothing_to_compare(tmp_path: Path, database_url: str) -> None:
    result = plant_of(tmp_path, database_url).run("reconcile")
    assert isinstance(result.exception, Misconfigured)
    assert "ledger.pays: names no other book" in str(result.exception)
