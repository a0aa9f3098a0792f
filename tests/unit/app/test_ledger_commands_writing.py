"""`myntverk ledger lock` and `reverse`: what is written by hand, once."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from ledger_plants import LedgerPlant, plant_of
from ledgers import PLANT, account, payment

from core.clock import from_datetime
from core.errors import Rejected, Unavailable
from core.ids import TransferId, derived_id
from core.money import SEK
from ledger.clearing import clearing_accounts
from ledger.courier import send
from ledger.database_lock import DatabaseLock
from ledger.transfer import Posted, Reason, Refused, TransferRequest


@pytest.fixture
def plant(tmp_path: Path, database_url: str) -> LedgerPlant:
    plant = plant_of(tmp_path, database_url)
    with plant.opened() as book:
        book.open(account("a", "-100 kr"), account("b"))
        book.post(payment("1", "a", "b", "5 kr", text="part"))
    return plant


def done(key: str, when: str) -> TransferRequest:
    return replace(payment(key, "a", "b", "1 kr"), effective_time=from_datetime(datetime.fromisoformat(when)))


def outcome(plant: LedgerPlant, request: TransferRequest) -> Reason | None:
    """Why the book refuses it, or None when it is posted."""
    with plant.opened() as book:
        (answer,) = book.post(request)
    assert isinstance(answer, Posted | Refused)
    return answer.reason if isinstance(answer, Refused) else None


def test_a_day_that_is_locked_takes_nothing_more_and_the_next_one_does(plant: LedgerPlant) -> None:
    assert plant.lines("lock") == ["nothing is locked"]
    assert plant.read("lock") == {"locked_through": None, "locked_until": None}
    said = ["locked through 2023-10-29: nothing is posted for a time before 2023-10-30T00:00:00+01:00"]
    assert plant.lines("lock", "--through", "2023-10-29") == said
    assert outcome(plant, done("last", "2023-10-29T22:59:59.999999+00:00")) is Reason.PERIOD_LOCKED
    assert outcome(plant, done("first", "2023-10-30T00:00:00+01:00")) is None
    assert plant.lines("lock") == said
    assert plant.read("lock") == {"locked_through": "2023-10-29", "locked_until": "2023-10-29T23:00:00.000000Z"}
    assert plant.lines("verify")[0].startswith("verified")


def test_a_lock_goes_forward_only_and_asked_again_it_is_there(plant: LedgerPlant) -> None:
    plant.lines("lock", "--through", "2023-10-29")
    batches = plant.read("verify")["batches"]
    assert plant.read("lock", "--through", "2023-10-29")["locked_through"] == "2023-10-29"
    assert plant.read("verify")["batches"] == batches
    earlier = plant.run("lock", "--through", "2023-10-28").exception
    assert isinstance(earlier, Rejected)
    assert earlier.code == "period_is_locked"
    assert plant.read("lock", "--through", "2023-10-30")["locked_through"] == "2023-10-30"


def test_a_day_that_is_not_over_cannot_be_locked(plant: LedgerPlant) -> None:
    refused = plant.run("lock", "--through", "2123-10-29").exception
    assert isinstance(refused, Rejected)
    assert refused.code == "period_is_not_over"
    assert "2123-10-29 is over at 2123-10-30T00:00:00" in refused.text
    assert plant.lines("lock") == ["nothing is locked"]
    assert plant.run("lock", "--through", "9999-12-31").exit_code == 2


def test_a_transfer_is_reversed_once_by_one_that_names_it(plant: LedgerPlant) -> None:
    original = derived_id("1").hex()
    first = plant.read("reverse", original, "--text", "wrong part")
    again = plant.read("reverse", original.upper(), "--text", "wrong part")
    assert (first["outcome"], again["outcome"]) == ("posted", "already posted")
    assert first["transfer"] == again["transfer"]
    shown = first["transfer"]
    assert [shown[key] for key in ("debit", "credit", "amount", "text", "source", "kind", "cause")] == [
        "b",
        "a",
        "5.000000",
        "wrong part",
        "command:reverse",
        "reversal",
        original,
    ]
    assert [each["id"] for each in plant.read("statement", "a")] == [shown["id"], original]
    (line,) = plant.lines("reverse", original, "--text", "wrong part")
    assert line == f"already posted: 5.00 SEK from b to a  {shown['id']}"
    assert plant.lines("verify")[0].startswith("verified: 2 transfers")


def test_a_reversal_that_is_refused_says_why_and_ends_with_1(plant: LedgerPlant) -> None:
    original = derived_id("1").hex()
    reversal = plant.read("reverse", original, "--text", "wrong part")["transfer"]["id"]
    other = plant.run("reverse", original, "--text", "other words")
    assert (other.exit_code, other.stdout) == (1, f"refused: already_reversed: it was reversed by {reversal} already\n")
    answered = plant.run("reverse", original, "--text", "other words", "--json")
    assert json.loads(answered.stdout) == {
        "outcome": "refused",
        "reason": "already_reversed",
        "why": f"it was reversed by {reversal} already",
    }
    with plant.opened() as book:
        book.post(payment("2", "a", "b", "1 kr"), payment("3", "b", "a", "1 kr"))
    poor = plant.run("reverse", derived_id("2").hex(), "--text", "spent already")
    assert (poor.exit_code, poor.stdout.split(":")[1]) == (1, " insufficient_funds")
    unknown = plant.run("reverse", TransferId(bytes(16)).hex(), "--text", "never was").exception
    assert isinstance(unknown, Rejected)
    assert unknown.code == "unknown_transfer"


@pytest.mark.parametrize(
    "arguments", [["17.4", "--text", "why"], ["00" * 17, "--text", "why"], ["00" * 16, "--text", " "], ["00" * 16]]
)
def test_a_reversal_needs_an_id_and_a_reason(plant: LedgerPlant, arguments: list[str]) -> None:
    assert plant.run("reverse", *arguments).exit_code == 2
    assert len(plant.read("statement", "a")) == 1


def test_nothing_is_written_by_hand_beside_a_gateway_on_sqlite(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, f"sqlite:///{tmp_path / 'book.db'}")
    with plant.opened() as book:
        book.open(account("a"))
    gateway = DatabaseLock(plant.url)
    gateway.acquire()
    for command in (["lock", "--through", "2023-10-29"], ["reverse", "00" * 16, "--text", "why"]):
        assert isinstance(plant.run(*command).exception, Unavailable)
    assert plant.lines("lock") == ["nothing is locked"]
    gateway.release()


def test_a_payment_to_another_book_is_not_undone_in_this_one(plant: LedgerPlant) -> None:
    with plant.opened() as book:
        book.open(*clearing_accounts("hall-2", PLANT.id, SEK))
        (sent,) = book.work(lambda batch: send(batch, "hall-2", [payment("2", "a", "agv", "1 kr")]))
    assert isinstance(sent, Posted)
    result = plant.run("reverse", sent.transfer.id.hex(), "--text", "wrong hall")
    assert result.exit_code == 1
    assert result.stdout == (
        "refused: clearing_account: a payment between two books is not undone in one of them; "
        "have it paid back by the other book\n"
    )
