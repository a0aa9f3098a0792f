"""What is true of every book, however its work was cut into batches."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import AbstractContextManager
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import Book, account, open_book

from core.clock import Instant
from core.ids import derived_id
from core.money import CURRENCIES, SEK, UNITS_MAX, Money
from ledger.account import Account, AccountId, AccountKind, AccountState, AccountType, PartyId
from ledger.event import account_content
from ledger.operations import open_accounts
from ledger.statement import account_from
from ledger.totals import HOUR
from ledger.transfer import Outcome, Posted, Refused, Transfer, TransferRequest

NAMES = ("a", "b", "c")

ends = st.sampled_from([(debit, credit) for debit in NAMES for credit in NAMES if debit != credit])
asked = st.tuples(st.integers(0, 30), ends, st.integers(1, 60), st.integers(0, 3))
cuts = st.lists(st.integers(0, 40), max_size=8)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
accounts = st.builds(
    lambda number, name, of, floor, kind, type_, ceiling, cost_centre, labels, state: Account(
        AccountId(f"account-{number}"),
        name,
        PartyId("plant"),
        Money(-floor, of),
        kind,
        type_,
        ceiling,
        cost_centre,
        labels,
        state,
    ),
    st.integers(0, 10**6),
    texts,
    st.sampled_from(list(CURRENCIES.values())),
    st.sampled_from((0, 1, UNITS_MAX)),
    st.sampled_from(AccountKind),
    st.sampled_from(AccountType),
    st.sampled_from((0, 1, UNITS_MAX)),
    texts,
    st.dictionaries(texts, texts, max_size=3),
    st.sampled_from(AccountState),
)


numbers = count()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for all: to make one costs more than what is done in it."""
    return tmp_path_factory.mktemp("properties") / "books.db"


def new_book(place: Path) -> AbstractContextManager[Book]:
    return open_book(place, name=f"book-{next(numbers)}")


def to_request(number: int, ends: tuple[str, str], units: int, hour: int) -> TransferRequest:
    debit, credit = ends
    amount, time = Money(units, SEK), Instant(hour * HOUR)
    return TransferRequest(derived_id(f"{number}"), AccountId(debit), AccountId(credit), amount, time)


def said(outcome: Outcome) -> object:
    return outcome.reason if isinstance(outcome, Refused) else (type(outcome), outcome.transfer.request)


def written(book: Book, requests: list[TransferRequest], at: list[int]) -> list[Outcome]:
    """Post them, cut into batches at those places."""
    book.open(account("a", "-0.000001 kr"), account("b", "-0.0000005 kr"), account("c"))
    places = sorted({0, len(requests), *(place for place in at if place < len(requests))})
    return [outcome for start, end in pairwise(places) for outcome in book.post(*requests[start:end])]


@settings(max_examples=20, deadline=None)
@given(st.lists(asked, min_size=1, max_size=40), cuts, st.integers(1, 7), st.integers(0, 30))
def test_a_book_tells_the_same_however_it_was_cut_into_batches(
    place: Path, drawn: list[tuple[int, tuple[str, str], int, int]], at: list[int], page: int, added_up: int
) -> None:
    requests = [to_request(*each) for each in drawn]
    with new_book(place) as one:
        expected = [said(outcome) for outcome in written(one, requests, [])]
    with new_book(place) as book:
        outcomes = written(book, requests, at)
        assert [said(outcome) for outcome in outcomes] == expected
        posted = [outcome.transfer for outcome in outcomes if isinstance(outcome, Posted)]
        book.add_up(added_up)
        assert book.reader.verify().faults == ()
        for name in NAMES:
            own = [each for each in posted if name in (each.request.debit, each.request.credit)]
            seen: list[Transfer] = []
            while found := book.reader.statement(
                AccountId(name), page, (seen[-1].seq, seen[-1].position) if seen else None
            ):
                seen += found
            assert seen == own[::-1]
        paid: Counter[tuple[str, str]] = Counter()
        for each in posted:
            if HOUR <= each.request.effective_time < 3 * HOUR:
                paid[each.request.debit, each.request.credit] += each.request.amount.units
        links = book.reader.links_between(Instant(HOUR), Instant(3 * HOUR))
        assert {(each.debit, each.credit): each.amount.units for each in links} == paid


@given(accounts)
def test_an_event_says_everything_of_an_account(account: Account) -> None:
    assert account_from(json.loads(account_content(account))) == account


@settings(max_examples=10, deadline=None)
@given(st.lists(accounts, min_size=1, max_size=6, unique_by=lambda account: account.id))
def test_an_account_is_read_as_it_was_opened_whatever_it_is_called(place: Path, drawn: list[Account]) -> None:
    with new_book(place) as book:
        book.work(open_accounts([], drawn))
        assert [status.account for status in book.reader.overview().statuses] == drawn
        past = [book.reader.status_at(account.id, book.clock.now()).account for account in drawn]
        assert past == drawn
        assert book.reader.verify().faults == ()
