"""Random payments among three books, delivered in any order, twice, late and through databases that fail: at the end
each has arrived exactly once or come back exactly once, and nothing is left between the books.

MYNTVERK_NIGHTLY=1 plays many more games.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import permutations
from random import Random

import pytest
from faulty_database import FaultyDatabase, Moment
from ledgers import START, account, payment
from paying_books import PayingBooks, open_books
from sqlalchemy import text

from core.clock import SECOND, ManualClock
from core.errors import OutcomeUnknown, Rejected, Unavailable
from core.money import Money
from ledger import outbox
from ledger.account import AccountState
from ledger.batch import Batch
from ledger.clearing import Parcel, Place
from ledger.courier import Delivered, take_in
from ledger.database import reading
from ledger.transfer import Outcome, Refused, TransferRequest

GAMES = 40 if os.environ.get("MYNTVERK_NIGHTLY") == "1" else 3
STEPS = 120
BOOKS = ("a", "b", "c")
PAIRS = list(permutations(BOOKS, 2))
ACCOUNTS = ("free", "tight", "shut")
"""The second can hold little, the third is closed whenever it can be."""
PAYEES = (*ACCOUNTS, "nobody", "clearing-a-sek", "euro")
LOST = (Unavailable, OutcomeUnknown)


@dataclass(frozen=True)
class Read:
    """What a courier has read and not handed over yet."""

    from_book: str
    to_book: str
    parcels: Sequence[Parcel]
    after: Place

    def work(self, batch: Batch) -> Delivered:
        return take_in(batch, self.to_book, self.from_book, self.parcels, self.after)


class Game:
    """Moves at random, and what it knows of them."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.random = Random(seed)
        self.clock = ManualClock(START)
        self.number = 0
        self.sent: dict[int, tuple[str, str]] = {}
        """Payment → the book it left and the book it goes to."""
        self.read: list[Read] = []
        self.seen: Counter[str] = Counter()
        tight = account("tight", "-8 kr", ceiling_units=Money.parse("12 kr").units)
        with open_books(url, *BOOKS, clock=self.clock) as books:
            for name in BOOKS:
                books[name].open(account("free", "-1000 kr"), tight, account("shut", "-5 kr"), account("euro", "0 EUR"))
        self.open()

    def open(self) -> None:
        self.opened = ExitStack()
        self.books: PayingBooks = self.opened.enter_context(
            open_books(self.url, *BOOKS, currencies=(), clock=self.clock)
        )
        self.faulty = [FaultyDatabase(self.books[name].engine) for name in BOOKS]

    def play(self) -> None:
        moves: dict[Callable[[], None], int] = {
            self.pay: 8,
            self.deliver: 6,
            self.take_parcels: 3,
            self.hand_over: 4,
            self.open_or_shut: 4,
            self.make_room: 2,
            self.lock: 1,
            self.plant_a_fault: 4,
            self.restart: 1,
        }
        for move in self.random.choices(list(moves), list(moves.values()), k=STEPS):
            move()

    def pay(self) -> None:
        pair, payer = self.random.choice(PAIRS), self.random.choice(ACCOUNTS)
        numbers = range(self.number + 1, self.number + 1 + self.random.randint(1, 4))
        self.number = numbers[-1]
        asked = [self.payment(n, payer) for n in numbers]
        outcomes: list[Outcome] = []
        while not outcomes:
            with suppress(*LOST):  # then the same is asked again
                outcomes = self.books.send(*pair, *asked)
        self.sent.update(
            {n: pair for n, outcome in zip(numbers, outcomes, strict=True) if not isinstance(outcome, Refused)}
        )

    def payment(self, n: int, payer: str) -> TransferRequest:
        amount = f"{self.random.randint(1, 6)} kr"
        asked = payment(f"{n}", payer, self.random.choice(PAYEES), amount, reference=f"R{n}")
        return replace(asked, effective_time=self.clock.now())

    def deliver(self) -> None:
        try:
            self.note(self.books.deliver(*self.random.choice(PAIRS), limit=self.random.randint(1, 4)))
        except LOST:
            self.seen["lost"] += 1

    def take_parcels(self) -> None:
        """A courier reads what it shall deliver, and is not seen for a while."""
        from_book, to_book = self.random.choice(PAIRS)
        sender, receiver = self.books.at(from_book), self.books.at(to_book)
        with suppress(*LOST):
            with reading(receiver.engine) as connection:
                after = outbox.find_cursor(connection, receiver.head(connection).book, from_book)
            with reading(sender.engine) as connection:
                book, limit = sender.head(connection).book, self.random.randint(1, 4)
                parcels = outbox.load_parcels(connection, book, to_book, after, limit)
            self.read.append(Read(from_book, to_book, parcels, after))

    def hand_over(self) -> None:
        """It comes back late, once or twice, or never."""
        if not self.read:
            return
        read = self.random.choice(self.read[-4:])
        try:
            answers = self.books[read.to_book].together(*[read.work] * self.random.randint(1, 2))
        except LOST:
            self.seen["lost"] += 1
            return
        for answer in answers:
            if isinstance(answer, Delivered):
                self.note(answer)
                self.seen["came too late"] += bool(read.parcels) and not answer.count

    def note(self, delivered: Delivered) -> None:
        self.seen.update(posted=delivered.posted, bounced=delivered.bounced, returned=delivered.returned)

    def open_or_shut(self) -> None:
        book = self.books[self.random.choice(BOOKS)]
        with suppress(Rejected, *LOST):
            is_shut = book.status("shut").account.state is AccountState.CLOSED
            if not is_shut:  # give what it owes, or take what it has
                self.number += 1
                owes = book.status("shut").balance.units < 0
                payer, payee = ("free", "shut") if owes else ("shut", "free")
                amount = f"{abs(book.status('shut').balance.amount)} kr"
                asked = payment(f"{self.number}", payer, payee, amount)
                book.post(replace(asked, effective_time=self.clock.now()))
            book.change("shut", state=AccountState.OPEN if is_shut else AccountState.CLOSED)

    def make_room(self) -> None:
        self.number += 1
        with suppress(*LOST):
            asked = payment(f"{self.number}", "tight", "free", "5 kr")
            self.books[self.random.choice(BOOKS)].post(replace(asked, effective_time=self.clock.now()))

    def lock(self) -> None:
        until = self.clock.advance(SECOND)
        with suppress(Rejected, *LOST):
            self.books[self.random.choice(BOOKS)].work(lambda batch: batch.lock_period(until))

    def plant_a_fault(self) -> None:
        self.random.choice(self.faulty).fail(self.random.choice(list(Moment)), after=self.random.randint(0, 12))

    def restart(self) -> None:
        self.end()
        self.open()

    def end(self) -> None:
        for faulty in self.faulty:
            self.seen["struck"] += faulty.struck.total()
            faulty.heal()
        self.opened.close()


@pytest.fixture(params=range(GAMES))
def game(request: pytest.FixtureRequest, database_url: str) -> Iterator[Game]:
    game = Game(database_url, seed=request.param)
    yield game
    game.end()


def test_every_payment_arrives_once_or_comes_back_once(game: Game) -> None:
    game.play()
    game.restart()
    game.books.deliver_all()
    assert_each_arrived_or_came_back(game)
    for pair in PAIRS:
        between = game.books.reconcile(*pair)
        assert between.is_settled
        assert [str(owed.ours + owed.theirs) for owed in between.owed] == ["0.00 SEK"]
    assert game.books.faults() == {}
    assert game.seen["posted"], game.seen
    assert game.seen["bounced"], game.seen


def assert_each_arrived_or_came_back(game: Game) -> None:
    with game.books["a"].engine.begin() as connection:
        query = "SELECT b.name, t.reference FROM transfer t JOIN book b ON b.book_id = t.book_id"
        found = Counter((name, reference) for name, reference in connection.execute(text(query)) if reference)
    for n, (from_book, to_book) in game.sent.items():
        left, arrived = (found.pop((name, f"R{n}"), 0) for name in (from_book, to_book))
        assert (left, arrived) in ((1, 1), (2, 0)), (
            f"payment {n} moved in {from_book} {left} times, in {to_book} {arrived}"
        )
    assert not found, "something was posted that was never sent"
