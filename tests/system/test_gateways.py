"""Several gateways on one PostgreSQL: each a writer of its own on the same book."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random

import pytest
from databases import cut_locks
from ledgers import Book, account, open_book, payment
from settlements import Cell, agreement, sample

from core.errors import Rejected, Unavailable
from ledger.account import AccountState
from ledger.append import Committed
from ledger.database_lock import DatabaseLock
from ledger.follower import Follower
from ledger.transfer import AlreadyPosted, Outcome, Posted, Reason, Refused

NAMES = [f"account-{n}" for n in range(8)]
DEADLINE_SECONDS = 20


@contextmanager
def gateways(url: str, count: int = 2) -> Iterator[list[Book]]:
    with ExitStack() as stack:
        yield [stack.enter_context(open_book(url)) for _ in range(count)]


def at_once(*works: object) -> None:
    threads = [threading.Thread(target=work) for work in works]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()


def test_gateways_that_start_at_the_same_moment_make_one_book(postgresql_url: str) -> None:
    books: list[Book] = []
    closing = threading.Event()

    def run() -> None:
        with open_book(postgresql_url) as book:
            book.open(account("a", "-1 kr"))
            books.append(book)
            closing.wait(DEADLINE_SECONDS)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        while len(books) < len(threads) and all(thread.is_alive() for thread in threads):
            threads[0].join(0.05)
        assert len(books) == len(threads)
        assert books[0].reader.overview().head.book == 1
        assert [status.account.id for status in books[0].reader.overview().statuses] == ["a"]
    finally:
        closing.set()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)


def test_what_both_write_at_once_keeps_every_limit_and_one_chain(postgresql_url: str) -> None:
    with gateways(postgresql_url) as (first, second):
        first.open(*(account(name, "-5 kr") for name in NAMES))
        outcomes: list[Outcome] = []

        def post(book: Book, seed: int) -> None:
            random = Random(seed)
            for batch in range(40):
                pairs = [random.sample(NAMES, 2) for _ in range(10)]
                asked = [
                    payment(f"{seed}-{batch}-{n}", *pair, f"{random.randint(1, 4)} kr") for n, pair in enumerate(pairs)
                ]
                outcomes.extend(book.post(*asked))

        at_once(lambda: post(first, 1), lambda: post(second, 2))
        assert len(outcomes) == 800
        posted = sum(isinstance(outcome, Posted) for outcome in outcomes)
        refused = [outcome.reason for outcome in outcomes if isinstance(outcome, Refused)]
        assert posted + len(refused) == 800
        assert set(refused) == {Reason.INSUFFICIENT_FUNDS}, "the limits were reached, and nothing else stood in the way"
        for book in (first, second):
            verification = book.reader.verify()
            assert verification.faults == ()
            assert verification.transfers == posted
        for status in first.reader.overview().statuses:
            assert status.available.units >= 0


def test_one_id_asked_of_both_at_once_is_paid_once(postgresql_url: str) -> None:
    with gateways(postgresql_url) as (first, second):
        first.open(account("a", "-1000 kr"), account("b"))
        asked = [payment(f"{n}", "a", "b", "1 kr") for n in range(200)]
        answers: dict[str, list[Outcome]] = {"first": [], "second": []}

        def post(book: Book, name: str) -> None:
            for start in range(0, len(asked), 5):
                answers[name] += book.post(*asked[start : start + 5])

        at_once(lambda: post(first, "first"), lambda: post(second, "second"))
        for one, other in zip(answers["first"], answers["second"], strict=True):
            assert {type(one), type(other)} == {Posted, AlreadyPosted}
            assert one.transfer == other.transfer  # type: ignore[union-attr]
        assert first.balance("b") == "200.00 SEK"


def test_a_gateway_sees_at_once_what_another_changed_on_an_account(postgresql_url: str) -> None:
    with gateways(postgresql_url) as (first, second):
        first.open(account("a", "-10 kr"), account("b"))
        assert isinstance(second.post(payment("1", "a", "b", "10 kr"))[0], Posted)
        (refused,) = first.post(payment("2", "a", "b", "1 kr"))
        assert isinstance(refused, Refused)
        second.open(account("a", "-20 kr"))
        assert isinstance(first.post(payment("2", "a", "b", "1 kr"))[0], Posted)
        second.open(account("a", "-20 kr", state=AccountState.FROZEN))
        (refused,) = first.post(payment("3", "a", "b", "1 kr"))
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.ACCOUNT_FROZEN


async def test_a_follower_offers_the_changes_of_others_in_the_books_order(postgresql_url: str) -> None:
    with gateways(postgresql_url) as (first, second):
        first.open(account("a", "-100 kr"), account("b"))
        seen: list[Committed] = []
        loop, is_over = asyncio.get_running_loop(), asyncio.Event()

        def take(committed: Committed) -> None:
            seen.append(committed)
            if committed.head.seq == 21:
                loop.call_soon_threadsafe(is_over.set)

        follower = Follower(first.engine, first.reader, take)
        follower.start(first.reader.overview().head.seq)
        try:
            for n in range(20):
                await asyncio.to_thread(second.post, payment(f"{n}", "a", "b", "1 kr"))
            async with asyncio.timeout(DEADLINE_SECONDS):
                await is_over.wait()
        finally:
            await asyncio.to_thread(follower.stop)
        seqs = [committed.head.seq for committed in seen]
        assert seqs == sorted(set(seqs))
        newest = {status.account.id: str(status.balance) for committed in seen for status in committed.statuses}
        assert newest == {"a": "-20.00 SEK", "b": "20.00 SEK"}


async def test_a_follower_hears_of_every_book_in_the_database(postgresql_url: str) -> None:
    with open_book(postgresql_url) as ours, open_book(postgresql_url, name="other") as other:
        ours.open(account("a"))
        loop, heard, is_over = asyncio.get_running_loop(), set[str](), asyncio.Event()

        def hear_of(book: str) -> None:
            heard.add(book)
            if heard == {"test", "other"}:
                loop.call_soon_threadsafe(is_over.set)

        follower = Follower(ours.engine, ours.reader, lambda _: None, hear_of)
        follower.start(ours.reader.overview().head.seq)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                for n in itertools.count():
                    for book in (ours, other):
                        await asyncio.to_thread(book.open, account(f"a-{n}"))
                    if is_over.is_set():
                        break
        finally:
            await asyncio.to_thread(follower.stop)


def test_a_gateways_name_is_taken_once(postgresql_url: str) -> None:
    first, again, other = (DatabaseLock(postgresql_url, name) for name in ("hall-1", "hall-1", "hall-2"))
    first.acquire()
    try:
        with pytest.raises(Unavailable, match="gateway 'hall-1' settles into this ledger already"):
            again.acquire()
        other.acquire()
        assert first.is_held()
        assert other.is_held()
    finally:
        for lock in (first, other):
            lock.release()
    again.acquire()
    again.release()


def test_a_name_that_was_lost_with_its_connection_is_taken_again(postgresql_url: str) -> None:
    first, again = (DatabaseLock(postgresql_url, "hall-1") for _ in range(2))
    first.acquire()
    assert not first.keep()
    assert cut_locks(postgresql_url) == 1
    assert not first.is_held()
    assert first.keep()
    assert first.is_held()
    with pytest.raises(Unavailable, match="settles into this ledger already"):
        again.acquire()
    first.release()


def test_a_name_that_another_took_meanwhile_is_not_held_before_he_lets_it_go(postgresql_url: str) -> None:
    first, other = (DatabaseLock(postgresql_url, "hall-1") for _ in range(2))
    first.acquire()
    cut_locks(postgresql_url)
    other.acquire()
    for _ in range(2):
        with pytest.raises(Unavailable, match="gateway 'hall-1' settles into this ledger already"):
            first.keep()
    other.release()
    assert first.keep()
    first.release()


def test_an_agreement_is_settled_by_one_gateway(postgresql_url: str) -> None:
    with gateways(postgresql_url) as (first, second):
        ours = Cell(first, (agreement("wear", "2 * parts"),))
        first.writer.submit(ours.engine.begin()).result(DEADLINE_SECONDS)
        ours.absorb(sample("parts", 0, 10))
        ours.absorb(sample("parts", 1, 11))
        theirs = ours.fresh_engine(gateway="hall-2")
        with pytest.raises(Rejected, match="is settled by gateway 'main'"):
            second.writer.submit(theirs.begin()).result(DEADLINE_SECONDS)
