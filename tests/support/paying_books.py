"""Books that pay each other, and what carries their payments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import permutations

from ledgers import PLANT, Book, open_book

from core.clock import ManualClock
from core.ids import TransferId, derived_id
from core.money import CURRENCIES
from ledger.batch import Batch
from ledger.clearing import clearing_accounts
from ledger.courier import BookAt, Courier, Delivered, send
from ledger.reconciliation import Reconciliation, reconcile
from ledger.transfer import Outcome, Posted, TransferRequest

ROUNDS_MAX = 20
"""Until nothing is under way any more; two are enough."""


class PayingBooks:
    """Books by name, each with accounts for all others."""

    def __init__(self, books: dict[str, Book], currencies: Sequence[str] = ("SEK",)) -> None:
        self.books = books
        for name, other in permutations(books, 2):
            for code in currencies:
                books[name].open(*clearing_accounts(other, PLANT.id, CURRENCIES[code]))

    def __getitem__(self, name: str) -> Book:
        return self.books[name]

    def at(self, name: str) -> BookAt:
        return BookAt(self.books[name].engine, name)

    def courier(self, from_book: str, to_book: str) -> Courier:
        return Courier(self.at(from_book), self.at(to_book), self.books[to_book].writer)

    def deliver(self, from_book: str, to_book: str, limit: int = 1_000) -> Delivered:
        return self.courier(from_book, to_book).deliver(limit)

    def deliver_all(self) -> None:
        """Both ways between all books, until nothing is under way."""
        pairs = list(permutations(self.books, 2))
        for _ in range(ROUNDS_MAX):
            if not sum(self.deliver(*pair).count for pair in pairs):
                return
        raise AssertionError("there is always something under way")

    def send(self, from_book: str, to_book: str, *requests: TransferRequest) -> list[Outcome]:
        return list(self.books[from_book].work(lambda batch: send(batch, to_book, requests)))

    def post_unguarded(self, name: str, *requests: TransferRequest) -> None:
        """Post through a clearing account what is neither sent nor taken in, as nobody can."""

        def work(batch: Batch) -> list[Outcome]:
            with batch.between_books():
                return list(batch.post(requests))

        assert all(isinstance(each, Posted) for each in self.books[name].work(work))

    def reverse_unguarded(self, name: str, key: str, original: TransferId, source: str = "") -> None:
        """Undo a payment between two books in one of them, as nobody can."""

        def work(batch: Batch) -> Outcome:
            with batch.between_books():
                return batch.reverse(derived_id(key), original, batch.posted_time, source=source)

        assert isinstance(self.books[name].work(work), Posted)

    def reconcile(self, ours: str, theirs: str) -> Reconciliation:
        return reconcile(self.at(ours), self.at(theirs))

    def faults(self) -> dict[str, tuple[str, ...]]:
        """Of the books that do not prove themselves."""
        faults = {name: book.reader.verify().faults for name, book in self.books.items()}
        return {name: found for name, found in faults.items() if found}


@contextmanager
def open_books(
    place: str, *names: str, currencies: Sequence[str] = ("SEK",), clock: ManualClock | None = None
) -> Iterator[PayingBooks]:
    """Books of these names in the database of a url, each with its accounts for all others."""
    with ExitStack() as opened:
        books = {name: opened.enter_context(open_book(place, clock, name)) for name in names}
        yield PayingBooks(books, currencies)
