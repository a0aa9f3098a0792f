"""The writer answers only what is durable, and one failing piece of work disturbs no other."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ledgers import PLANT, START, account, capture, hold, open_book, payment
from plant import free_port

from core.clock import SECOND, Instant, ManualClock
from core.errors import InvariantBroken, Rejected, Unavailable
from core.ids import TransferId, derived_id
from ledger import batch as batches
from ledger import holds, transfer_rows
from ledger import writer as writers
from ledger.account import AccountState, Party
from ledger.batch import Batch
from ledger.database import Connection, Engine, connect, open_engine
from ledger.database_lock import DatabaseLock
from ledger.hold import Placed
from ledger.store import BookHead
from ledger.transfer import AlreadyPosted, Posted, Reason, Refused, Transfer
from ledger.writer import Posting, Writer

SOON = Instant(START + 10 * SECOND)


def test_money_moves_and_the_answer_names_its_place(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("agv", "-100 kr"), account("energy"))
        (answer,) = book.post(payment("1", "agv", "energy", "12.50 kr"))
        assert isinstance(answer, Posted)
        assert (answer.transfer.seq, answer.transfer.position) == (2, 0)
        assert (book.balance("agv"), book.balance("energy")) == ("-12.50 SEK", "12.50 SEK")
        assert [status.account.id for status in book.commits[-1].statuses] == ["agv", "energy"]


def test_a_repeated_request_moves_nothing_even_after_a_restart(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("agv", "-100 kr"), account("energy"))
        (first,) = book.post(payment("1", "agv", "energy", "12.50 kr"))
    with open_book(tmp_path / "a.db") as book:
        again, other = book.post(payment("1", "agv", "energy", "12.50 kr"), payment("1", "agv", "energy", "13 kr"))
        assert isinstance(first, Posted)
        assert again == AlreadyPosted(first.transfer)
        assert isinstance(other, Refused)
        assert other.reason is Reason.CONFLICT
        assert book.balance("agv") == "-12.50 SEK"


def test_a_refused_transfer_disturbs_no_other_in_its_batch(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        answers = book.post(
            payment("1", "a", "b", "6 kr"), payment("2", "a", "b", "6 kr"), payment("3", "b", "a", "5 kr")
        )
        assert [type(answer) for answer in answers] == [Posted, Refused, Posted]
        assert book.balance("b") == "1.00 SEK"
        assert book.reader.verify().verified


def test_work_that_raises_leaves_no_trace_and_its_neighbours_are_kept(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        gate = threading.Event()

        def stall(batch: Batch) -> None:
            gate.wait(10)

        def fail(batch: Batch) -> None:
            batch.post([payment("bad", "a", "b", "9 kr")])
            raise Rejected("no", "changed my mind")

        waiting = book.writer.submit(stall)
        failing = book.writer.submit(fail)
        good = book.writer.submit(lambda batch: batch.post([payment("good", "a", "b", "2 kr")]))
        gate.set()
        waiting.result(10)
        with pytest.raises(Rejected, match="changed my mind"):
            failing.result(10)
        assert isinstance(good.result(10)[0], Posted)
        assert book.balance("b") == "2.00 SEK"
        assert book.reader.verify().verified


def test_only_work_that_is_kept_is_told_when_it_is_durable(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        told: list[str] = []

        def good(batch: Batch) -> None:
            batch.open_account(account("a"))
            batch.when_committed(lambda: told.append("good"))

        def fail(batch: Batch) -> None:
            batch.when_committed(lambda: told.append("bad"))
            raise Rejected("no", "changed my mind")

        book.together(fail, good, fail)
        assert told == ["good"]


def test_a_database_that_fails_keeps_nothing_and_says_so(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        other = open_engine(f"sqlite:///{tmp_path / 'a.db'}")

        def sabotage(batch: Batch) -> None:
            batch.post([payment("1", "a", "b", "2 kr")])
            batch.also(lambda connection: connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)"))

        with pytest.raises(Unavailable, match="nowhere"):
            book.writer.submit(sabotage).result(10)
        assert book.balance("b") == "0.00 SEK"
        assert isinstance(book.post(payment("1", "a", "b", "2 kr"))[0], Posted)
        other.dispose()


def test_our_own_bug_stops_the_writer_and_reading_goes_on(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))

        def bug(batch: Batch) -> None:
            raise InvariantBroken("two and two are five")

        with pytest.raises(InvariantBroken):
            book.writer.submit(bug).result(10)
        with pytest.raises(InvariantBroken):
            book.writer.submit(lambda batch: None)
        assert book.balance("a") == "0.00 SEK"


def test_a_bug_closes_the_book_to_what_is_queued_already(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        gate = threading.Event()

        def stall(batch: Batch) -> None:
            gate.wait(10)
            raise InvariantBroken("two and two are five")

        broken = book.writer.submit(stall)
        queued = [book.writer.submit(lambda batch: batch.post([payment("1", "a", "b", "1 kr")])) for _ in range(600)]
        gate.set()
        for answer in (broken, *queued):
            with pytest.raises(InvariantBroken):
                answer.result(10)
        assert book.balance("b") == "0.00 SEK"


def test_an_exception_that_is_raised_again_and_again_stays_small(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.writer.stop()
        raised = []
        for _ in range(3):
            with pytest.raises(Unavailable) as refusal:
                book.writer.submit(lambda batch: None)
            raised.append(refusal.value)
        assert len({id(each) for each in raised}) == 3


def test_nobody_waits_for_ever_when_what_follows_a_commit_fails(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))

        def fail(_: object) -> None:
            raise RuntimeError("the screen is gone")

        book.writer._on_commit = fail
        assert isinstance(book.post(payment("1", "a", "b", "1 kr"))[0], Posted)
        with pytest.raises(InvariantBroken, match="the screen is gone"):
            book.writer.submit(lambda batch: None).result(10)
        assert book.balance("b") == "1.00 SEK"


def test_an_account_that_paid_and_is_changed_in_one_batch_keeps_its_totals(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))

        def pay_and_change(batch: Batch) -> None:
            batch.post([payment("1", "a", "b", "4 kr")])
            batch.open_account(account("a", "-20 kr"))

        book.writer.submit(pay_and_change).result(10)
        assert (book.balance("a"), book.balance("b")) == ("-4.00 SEK", "4.00 SEK")
        assert book.reader.verify().verified


def test_work_that_fails_takes_back_what_it_opened_and_changed(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))

        def fail(batch: Batch) -> None:
            batch.open_account(account("a", "-1000 kr"))
            batch.open_account(account("thief"))
            batch.post([payment("1", "a", "thief", "900 kr")])
            raise Rejected("no", "changed my mind")

        with pytest.raises(Rejected):
            book.writer.submit(fail).result(10)
        first, second = book.post(payment("1", "a", "thief", "1 kr"), payment("2", "a", "b", "11 kr"))
        assert isinstance(first, Refused)
        assert first.reason is Reason.UNKNOWN_CREDIT_ACCOUNT
        assert isinstance(second, Refused)
        assert second.reason is Reason.INSUFFICIENT_FUNDS
        assert book.reader.verify().verified


def test_an_account_that_is_only_changed_is_still_shown_with_its_last_transfer(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        (paid,) = book.post(payment("1", "a", "b", "1 kr"))
        book.open(account("a", "-20 kr"))
        (shown,) = book.commits[-1].statuses
        assert isinstance(paid, Posted)
        assert shown.last_transfer == paid.transfer


def test_a_full_queue_says_so_at_once(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.writer._queue.maxsize = 1
        gate = threading.Event()
        started = threading.Event()

        def stall(batch: Batch) -> None:
            started.set()
            gate.wait(10)

        running = book.writer.submit(stall)
        started.wait(10)
        queued = book.writer.submit(lambda batch: None)
        with pytest.raises(Unavailable, match="ask again with the same id"):
            book.writer.submit(lambda batch: None)
        gate.set()
        running.result(10)
        queued.result(10)


def test_a_stopped_writer_answers_what_was_queued_and_takes_no_more(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        answers = [
            book.writer.submit(lambda batch, n=n: batch.post([payment(str(n), "a", "b", "1 kr")])) for n in range(5)
        ]
        book.writer.stop()
        assert all(isinstance(answer.result(0)[0], Posted) for answer in answers)
        with pytest.raises(Unavailable, match="shutting down"):
            book.writer.submit(lambda batch: None)


def test_an_account_keeps_its_owner_and_currency(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"))
        for changed in (account("a", "-10 kr", owner="thief"), account("a", "-10 EUR")):
            with pytest.raises(Rejected, match="open a new account"):
                book.open(changed)
        book.open(account("a", "-20 kr"))
        assert str(book.reader.overview().statuses[0].available) == "20.00 SEK"
        assert book.reader.verify().verified


def test_work_that_fits_a_batch_is_not_refused_for_what_stands_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the first of the next batch, in its place among the others."""
    monkeypatch.setattr(batches, "ENTRIES_PER_BATCH_MAX", 10)

    def pay(key: str, transfers: int) -> Callable[[Batch], list[type]]:
        def work(batch: Batch) -> list[type]:
            try:
                outcomes = [*batch.post([payment(f"{key} {n}", "a", "b", "1 kr") for n in range(transfers - 1)])]
                batch.record_refusal(Refused(payment(key, "a", "b", "1 kr"), Reason.CONFLICT, ""))
            except Exception:
                return []
            return [type(outcome) for outcome in outcomes]

        return work

    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-100 kr"), account("b"))
        answers = book.together(pay("few", 4), pay("many", 10), pay("more", 7), pay("other", 3), pay("last", 1))
        assert answers == [[Posted] * (entries - 1) for entries in (4, 10, 7, 3, 1)]
        assert [commit.transfers for commit in book.commits] == [0, 3, 9, 8, 0]
        assert book.balance("b") == "20.00 SEK"
        assert book.reader.verify().faults == ()


def test_work_that_fits_no_batch_is_told_the_maximum_and_its_neighbours_are_kept(tmp_path: Path) -> None:
    def post_twice(batch: Batch) -> None:
        for part in ("first", "second"):
            batch.post([payment(f"{part} {n}", "a", "b", "1 kr") for n in range(35_000)])

    def pay(key: str) -> Callable[[Batch], object]:
        return lambda batch: batch.post([payment(key, "a", "b", "1 kr")])[0]

    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-1000000 kr"), account("b"))
        before, too_large, after = book.together(pay("before"), post_twice, pay("after"))
        assert isinstance(before, Posted)
        assert isinstance(too_large, ValueError)
        assert "65535 entries at most, 70000 were asked" in str(too_large)
        assert isinstance(after, Posted)
        assert book.balance("b") == "2.00 SEK"


def test_work_that_waits_for_the_next_batch_is_answered_when_the_writer_stops_or_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "ENTRIES_PER_BATCH_MAX", 10)

    def pay(key: str) -> Callable[[Batch], object]:
        return lambda batch: batch.post([payment(f"{key} {n}", "a", "b", "1 kr") for n in range(8)])

    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-100 kr"), account("b"))
        answers = [book.writer.submit(pay(key)) for key in "xyz"]
        book.writer.stop()
        assert [len(answer.result(0)) for answer in answers] == [8, 8, 8]
    with open_book(tmp_path / "a.db") as book:

        def fail(_: object) -> None:
            raise RuntimeError("the screen is gone")

        book.writer._on_commit = fail
        posted, waited = book.together(pay("u"), pay("v"))[:2]
        assert len(posted) == 8
        assert isinstance(waited, InvariantBroken)


def test_a_second_process_cannot_settle_into_the_same_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    first, second = DatabaseLock(url), DatabaseLock(url)
    first.acquire()
    with pytest.raises(Unavailable, match="stop it first"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def _place(batch: Batch) -> None:
    holds.place(batch, hold("new", "press", "energy", "5 kr", Instant(SOON - 1)))


def _capture_and_place(batch: Batch) -> None:
    holds.capture(batch, capture("c", "h"))
    holds.place(batch, hold("new", "press", "energy", "5 kr"))
    holds.capture(batch, capture("d", "new", "1 kr"))


def _open_and_hold(batch: Batch) -> None:
    batch.open_account(account("ghost", "-10 kr"))
    holds.place(batch, hold("new", "ghost", "energy", "5 kr"))
    batch.post([payment("1", "ghost", "press", "5 kr")])


PAY_9 = payment("1", "press", "energy", "9 kr")
DECISIONS: dict[str, Callable[[Batch], object]] = {
    "open": lambda batch: batch.open_account(account("ghost")),
    "change": lambda batch: batch.open_account(account("press", "-5 kr", state=AccountState.FROZEN)),
    "post": lambda batch: batch.post(
        [payment("1", "press", "energy", "9 kr"), payment("2", "energy", "press", "1 kr")]
    ),
    "post linked": lambda batch: batch.post_linked([PAY_9, payment("2", "energy", "press", "1 kr")]),
    "reverse": lambda batch: batch.reverse(derived_id("r"), derived_id("paid"), Instant(5)),
    "place": _place,
    "capture": lambda batch: holds.capture(batch, capture("c", "h", "1 kr")),
    "capture all": lambda batch: holds.capture(batch, capture("c", "h")),
    "capture and place": _capture_and_place,
    "release": lambda batch: holds.release(batch, derived_id("h")),
    "lock": lambda batch: batch.lock_period(Instant(10_000)),
    "refusal": lambda batch: batch.record_refusal(Refused(PAY_9, Reason.CONFLICT, "")),
    "party": lambda batch: batch.set_parties([Party(PLANT.id, "Thief AB")]),
    "open and hold": _open_and_hold,
}


@pytest.mark.parametrize("order", ["before", "after", "between"])
@pytest.mark.parametrize("decision", DECISIONS)
def test_what_failing_work_decided_leaves_no_trace(decision: str, order: str, tmp_path: Path) -> None:
    """The batch is to the last byte as if the work had never been done, wherever it stands in the batch."""

    def fail(batch: Batch) -> None:
        DECISIONS[decision](batch)
        raise Rejected("no", "changed my mind")

    def pay(batch: Batch) -> None:
        batch.post([payment("good", "press", "energy", "2 kr")])
        holds.capture(batch, capture("part", "h", "3 kr"))

    def go_on(batch: Batch) -> None:
        assert isinstance(batch.post([payment("1", "press", "energy", "4 kr")])[0], Posted)
        assert isinstance(holds.place(batch, hold("new", "press", "energy", "6 kr", SOON)), Placed)
        assert isinstance(batch.reverse(derived_id("r"), derived_id("paid"), Instant(2_000)), Posted)

    def written(name: str, *works: Callable[[Batch], None]) -> BookHead:
        with open_book(tmp_path / name) as book:
            book.open(account("press", "-100 kr"), account("energy"))
            book.post(payment("paid", "press", "energy", "8 kr"))
            book.place(hold("h", "press", "energy", "20 kr", Instant(SOON + 1)))
            assert book.together(*works, go_on)[-1] is None
            book.post(payment("last", "press", "energy", "1 kr"))
            assert book.reader.verify().faults == ()
            return book.reader.overview().head

    works = {"before": [fail, pay], "after": [pay, fail], "between": [fail, pay, fail]}[order]
    assert written("with.db", *works) == written("without.db", pay)


def test_posts_that_wait_together_are_looked_up_together_and_answered_as_if_alone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[int] = []

    def spy(connection: Connection, book: int, ids: Sequence[TransferId]) -> dict[TransferId, Transfer]:
        looked_up.append(len(ids))
        return find_transfers(connection, book, ids)

    find_transfers = transfer_rows.find_transfers
    with open_book(database_url) as book:
        book.open(account("a", "-10 kr"), account("b"))
        (earlier,) = book.post(payment("earlier", "a", "b", "1 kr"))
        monkeypatch.setattr(transfer_rows, "find_transfers", spy)
        works = [Posting([payment(f"{n}", "a", "b", "1 kr")]) for n in range(5)]
        odd = [
            Posting([payment("earlier", "a", "b", "1 kr")]),
            Posting([payment("4", "a", "b", "1 kr")]),
            Posting([payment("4", "a", "b", "2 kr")]),
            Posting([payment("to nobody", "a", "nobody", "1 kr")]),
            Posting([replace(payment("short", "a", "b", "1 kr"), id=TransferId(b"short"))]),
        ]
        answers = book.together(*works, *odd)
        assert looked_up == [9], "all in one look, without the id that is none"
        assert [type(answer[0]) for answer in answers[:5]] == [Posted] * 5
        again, repeated, other, nobody = (answer[0] for answer in answers[5:9])
        assert again == AlreadyPosted(earlier.transfer)
        assert repeated == AlreadyPosted(answers[4][0].transfer)
        assert [other.reason, nobody.reason] == [Reason.CONFLICT, Reason.UNKNOWN_CREDIT_ACCOUNT]
        assert isinstance(answers[9], ValueError)
        assert book.balance("b") == "6.00 SEK"
        assert book.reader.verify().verified


@pytest.mark.parametrize("requests", [None, 5, (payment(f"{n}", "a", "b", "1 kr") for n in range(1))])
def test_a_posting_of_nothing_that_can_be_counted_is_its_callers_fault(requests: Any, tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        good = [Posting([payment(f"good {n}", "a", "b", "1 kr")]) for n in range(2)]
        before, bad, after = book.together(good[0], Posting(requests), good[1])
        assert [type(before[0]), type(bad), type(after[0])] == [Posted, TypeError, Posted]


def test_an_id_of_zeros_is_none(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        with pytest.raises(ValueError, match="zeros only"):
            book.post(replace(payment("1", "a", "b", "1 kr"), id=TransferId(bytes(16))))


def test_a_plant_of_many_accounts_is_opened_at_once(database_url: str) -> None:
    names = [f"{n}" for n in range(3_200)]
    with open_book(database_url) as book:
        book.open(*map(account, names))
        assert [status.account.id for status in book.reader.overview().statuses] == names


def test_a_reversal_needs_room_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        book.post(*(payment(f"{n}", "a", "b", "1 kr") for n in range(3)))
        monkeypatch.setattr(batches, "ENTRIES_PER_BATCH_MAX", 2)

        def reverse_all(batch: Batch) -> None:
            for n in range(3):
                batch.reverse(derived_id(f"back {n}"), derived_id(f"{n}"), START)

        with pytest.raises(ValueError, match="2 entries"):
            book.work(reverse_all)
        first, second = book.together(
            lambda batch: batch.post([payment("4", "a", "b", "1 kr"), payment("5", "a", "b", "1 kr")]),
            lambda batch: batch.reverse(derived_id("back"), derived_id("1"), START),
        )
        assert [type(first[1]), type(second)] == [Posted, Posted]
        assert second.transfer.seq == first[1].transfer.seq + 1


def test_work_that_is_cancelled_inside_is_its_callers_fault(tmp_path: Path) -> None:
    def cancelled(_: Batch) -> None:
        raise asyncio.CancelledError

    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        with pytest.raises(asyncio.CancelledError):
            book.work(cancelled)
        assert isinstance(book.post(payment("1", "a", "b", "1 kr"))[0], Posted)


def test_work_that_ends_the_interpreter_closes_the_book_and_leaves_nobody_waiting(tmp_path: Path) -> None:
    def end(_: Batch) -> None:
        raise SystemExit

    with open_book(tmp_path / "a.db") as book:
        assert isinstance(book.writer.submit(end).exception(10), InvariantBroken)
        with pytest.raises(InvariantBroken, match="SystemExit"):
            book.writer.submit(lambda _: None)


def test_work_for_a_writer_that_never_started_is_refused_when_it_stops(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        writer = Writer(book.engine, "test", book.clock)
        answer = writer.submit(lambda _: None)
        writer.stop()
        assert isinstance(answer.exception(10), Unavailable)


def test_who_waits_for_a_database_that_is_not_there_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def count(engine: Engine) -> Connection:
        tried.append(str(engine.url))
        return connect(engine)

    monkeypatch.setattr(writers, "connect", count)
    writer = Writer(open_engine(f"postgresql://nobody@127.0.0.1:{free_port()}/none"), "test", ManualClock(START))
    answers = [writer.submit(lambda _: None) for _ in range(5)]
    writer.start()
    assert [type(answer.exception(30)) for answer in answers] == [Unavailable] * 5
    writer.stop()
    assert len(tried) == 1
