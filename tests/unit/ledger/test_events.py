"""What happens beside transfers is journalled too: openings, changes, locks, refusals; in canonical words."""

import json
from pathlib import Path
from typing import Any

import pytest
from ledgers import PLANT, START, Book, account, capture, hold, open_book, payment
from sqlalchemy import select

from core.clock import SECOND, Instant
from core.errors import Rejected
from core.ids import derived_id
from core.money import Money
from ledger import event
from ledger.account import AccountState, Party
from ledger.batch import Batch
from ledger.database import reading
from ledger.event import NO_ACCOUNT, EventKind
from ledger.tables import event_table
from ledger.transfer import Outcome, Posted, Reason, Refused


def journalled(book: Book, *kinds: EventKind) -> list[tuple[int, int, int, str, dict[str, Any]]]:
    """Batch, place, account number, kind and content of each event, in the book's order."""
    query = select(event_table).order_by(event_table.c.seq, event_table.c.position)
    with reading(book.engine) as connection:
        rows = connection.execute(query).all()
    found = [(row.seq, row.position, row.account_no, row.event, json.loads(row.content)) for row in rows]
    return [each for each in found if not kinds or each[3] in kinds]


def post_and_record(batch: Batch, *payments: Any) -> list[Outcome]:
    outcomes = list(batch.post(payments))
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            batch.record_refusal(outcome)
    return outcomes


def reason(outcome: Outcome) -> Reason:
    assert isinstance(outcome, Refused), outcome
    return outcome.reason


def test_openings_and_changes_are_journalled_in_full(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("a", "-10 kr", labels={"line": "2"}), account("b"))
        book.change("b", state=AccountState.FROZEN)
        party, first, second, changed = journalled(book)
        assert party == (1, 0, NO_ACCOUNT, "party", {"party": "plant", "name": "Plant AB", "organisation": ""})
        assert first[:4] == (1, 1, 1, "opened")
        assert first[4] == {
            "account": "a",
            "name": "A",
            "owner": "plant",
            "kind": "party",
            "type": "liability",
            "currency": "SEK",
            "cost_centre": "",
            "labels": {"line": "2"},
            "state": "open",
            "floor_units": -(10**9),
            "ceiling_units": 2**62 - 1,
        }
        assert second[:4] == (1, 2, 2, "opened")
        assert changed[:4] == (2, 0, 2, "changed")
        assert changed[4] == {**second[4], "state": "frozen"}


def test_a_party_that_gets_another_name_is_journalled_once(tmp_path: Path) -> None:
    renamed = Party(PLANT.id, "Plant & Son AB", "556000-4615")
    with open_book(tmp_path / "a.db") as book:
        for party in (PLANT, PLANT, renamed, renamed):
            book.work(lambda batch, party=party: batch.set_parties([party]))
        names = [content["name"] for *_, content in journalled(book, EventKind.PARTY)]
        assert names == ["Plant AB", "Plant & Son AB"]
        assert book.reader.verify().faults == ()


def test_names_that_a_party_gets_in_one_batch_are_each_journalled_and_the_last_one_stays(database_url: str) -> None:
    renamed = Party(PLANT.id, "Plant & Son AB", "556000-4615")

    def fail(batch: Batch) -> None:
        batch.set_parties([Party(PLANT.id, "Thief AB")])
        raise Rejected("no", "changed my mind")

    with open_book(database_url) as book:
        book.work(lambda batch: batch.set_parties([PLANT]))
        book.together(
            *(lambda batch, party=party: batch.set_parties([party]) for party in (renamed, renamed)),
            fail,
            lambda batch: batch.set_parties([renamed, PLANT, PLANT]),
            fail,
        )
        names = [content["name"] for *_, content in journalled(book, EventKind.PARTY)]
        assert names == ["Plant AB", "Plant & Son AB", "Plant AB"]
        with book.reader.history() as history:
            assert history.parties() == [PLANT]
        assert book.reader.verify().faults == ()


def test_a_hold_is_journalled_when_it_is_placed_and_when_it_ends(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("a", "-10 kr"), account("b"))
        book.place(hold("h", "a", "b", "3 kr", Instant(START + SECOND), text="x", reference="y", source="z"))
        book.place(hold("i", "a", "b", "2 kr"))
        book.capture(capture("c", "h", "1 kr"))
        book.release("i")
        book.clock.advance(SECOND)
        book.work(lambda batch: None)
        placed, _, released, expired = journalled(
            book, EventKind.HOLD_PLACED, EventKind.HOLD_RELEASED, EventKind.HOLD_EXPIRED
        )
        assert placed[2:] == (
            1,
            "hold placed",
            {
                "hold": derived_id("h").hex(),
                "debit": "a",
                "credit": "b",
                "currency": "SEK",
                "units": 3 * 10**8,
                "expires": START + SECOND,
                "effective_time": 1_000,
                "text": "x",
                "reference": "y",
                "source": "z",
            },
        )
        assert released[2:] == (1, "hold released", {"hold": derived_id("i").hex(), "units": 2 * 10**8})
        assert expired[2:] == (1, "hold expired", {"hold": derived_id("h").hex(), "units": 2 * 10**8})


def test_a_refusal_is_recorded_with_what_was_asked_and_why(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("a", "-10 kr"), account("b"))
        asked = payment("1", "a", "b", "11 kr", text="May", reference="7", source="device:plc")
        book.work(lambda batch: post_and_record(batch, asked))
        (refused,) = journalled(book, EventKind.REFUSED)
        assert refused[:3] == (2, 0, 1)
        assert refused[4] == {
            "transfer": derived_id("1").hex(),
            "debit": "a",
            "credit": "b",
            "currency": "SEK",
            "units": str(11 * 10**8),
            "effective_time": 1_000,
            "text": "May",
            "reference": "7",
            "source": "device:plc",
            "reason": "insufficient_funds",
            "why": "a has 10.00 SEK available, 11.00 SEK was asked",
        }
        assert book.reader.overview().head.transfers == 0
        assert book.reader.verify().faults == ()


@pytest.mark.parametrize(
    "asked",
    [
        payment("1", "nobody", "b", "1 kr"),
        payment("1", "a", "b", "1 kr", text="x" * 10_000),
        payment("1", "a", "b", "1 kr", text="two\nlines", reference="\0", source="broken \udcff"),
        payment("1", "a", 'ö\n"\\\u2028', "1 kr"),
        payment("1", "a", "b", "40000000000 kr"),
        payment("1", "a", "b", "-40000000000 kr"),
    ],
)
def test_whatever_was_asked_its_refusal_can_be_written_sealed_and_read(asked: Any, database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("a", "-10 kr"), account("b"))
        (outcome,) = book.work(lambda batch: post_and_record(batch, asked))
        (refused,) = journalled(book, EventKind.REFUSED)
        assert refused[2] == (NO_ACCOUNT if asked.debit == "nobody" else 1)
        assert refused[4]["reason"] == reason(outcome).value
        assert all(len(text) <= 400 for text in refused[4].values() if isinstance(text, str))
        assert book.reader.verify().faults == ()


def test_refusals_and_transfers_stand_in_the_order_they_were_decided(tmp_path: Path) -> None:
    def work(batch: Batch) -> list[Outcome]:
        first = post_and_record(batch, payment("1", "a", "b", "11 kr"))
        second = post_and_record(batch, payment("2", "a", "b", "5 kr"), payment("3", "a", "b", "6 kr"))
        batch.open_account(account("a", "-20 kr"))
        return [*first, *second, *post_and_record(batch, payment("3", "a", "b", "6 kr"))]

    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        outcomes = book.work(work)
        assert [outcome.transfer.position for outcome in outcomes if isinstance(outcome, Posted)] == [1, 4]
        assert [each[1] for each in journalled(book) if each[0] == 2] == [0, 2, 3]
        assert [status.last_transfer.position for status in book.commits[-1].statuses if status.last_transfer] == [4, 4]
        assert book.reader.verify().faults == ()


def test_a_batch_may_hold_nothing_but_refusals_or_nothing_at_all(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a"), account("b"))
        assert reason(book.post(payment("1", "a", "b", "1 kr"))[0]) is Reason.INSUFFICIENT_FUNDS
        assert book.reader.overview().head.seq == 1, "nobody asked to record it"
        book.work(lambda batch: post_and_record(batch, payment("1", "a", "b", "1 kr")))
        assert book.reader.overview().head.seq == 2
        assert book.commits[-1].statuses == ()
        assert book.reader.verify().faults == ()


def test_nothing_is_dated_in_a_period_that_is_locked(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("a", "-10 kr"), account("b"))
        book.post(payment("before", "a", "b", "1 kr"))
        book.work(lambda batch: batch.lock_period(Instant(1_001)))
        (late,) = book.post(payment("late", "a", "b", "1 kr"))
        assert reason(late) is Reason.PERIOD_LOCKED
        (again,) = book.post(payment("before", "a", "b", "1 kr"))
        assert not isinstance(again, Refused), "what was posted in it is posted"
        book.place(hold("h", "a", "b", "1 kr"))
        assert reason(book.capture(capture("c", "h"))) is Reason.PERIOD_LOCKED  # type: ignore[arg-type]
        assert book.reader.overview().head.locked_until == 1_001
        assert journalled(book, EventKind.PERIOD_LOCKED) == [(3, 0, NO_ACCOUNT, "period locked", {"until": 1_001})]
        assert book.reader.verify().faults == ()


def test_a_period_is_not_unlocked(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.work(lambda batch: batch.lock_period(Instant(1_001)))
        for until in (1_001, 1_000, 0):
            with pytest.raises(Rejected) as rejected:
                book.work(lambda batch, until=until: batch.lock_period(Instant(until)))
            assert rejected.value.code == "period_is_locked"
        book.work(lambda batch: batch.lock_period(Instant(1_002)))
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        assert reason(book.post(payment("1", "a", "b", "1 kr"))[0]) is Reason.PERIOD_LOCKED, "after a restart too"
        assert book.reader.verify().faults == ()


def test_a_lock_holds_for_what_follows_it_in_the_batch(tmp_path: Path) -> None:
    def work(batch: Batch) -> list[Outcome]:
        first = batch.post([payment("1", "a", "b", "1 kr")])
        batch.lock_period(Instant(1_001))
        return [*first, *batch.post([payment("2", "a", "b", "1 kr")])]

    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        before, after = book.work(work)
        assert isinstance(before, Posted)
        assert reason(after) is Reason.PERIOD_LOCKED
        assert book.reader.verify().faults == ()


def test_the_same_content_is_always_written_the_same() -> None:
    one, other = {"b": 1, "a": {"d": "é", "c": None}}, {"a": {"c": None, "d": "é"}, "b": 1}
    assert event.canonical(one) == event.canonical(other) == '{"a":{"c":null,"d":"é"},"b":1}'
    assert event.canonical({"a": "\udcff"}) == '{"a":"?"}', "what cannot be encoded could not be sealed"


def test_money_in_an_event_is_a_whole_number() -> None:
    content = json.loads(event.account_content(account("a", "-0.00000001 kr", ceiling_units=Money.parse("1 kr").units)))
    assert (content["floor_units"], content["ceiling_units"]) == (-1, 10**8)
