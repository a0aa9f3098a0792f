"""Random work on a real book beside a naive one; the two must agree after every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from ledgers import START, Book, open_book
from naive_book import LIMIT, NEVER, NaiveBook, NaiveRejected, NaiveTransfer
from steps import CURRENCY, Capture, Fail, Lock, Open, Place, Post, Release, Reverse, Step, time_of

from core.clock import SECOND, Instant, ManualClock
from core.errors import Rejected
from core.ids import derived_id
from ledger.account import AccountId
from ledger.balance import AccountStatus
from ledger.batch import Batch
from ledger.totals import LinkTotal

OPENED = list(CURRENCY)[:-1]
PAIRS = [(a, b, CURRENCY[a]) for a in OPENED for b in OPENED if a != b and CURRENCY[a] == CURRENCY[b]]

names = st.sampled_from(list(CURRENCY))
opened = st.sampled_from(OPENED)
keys = st.integers(0, 10**6).map(lambda n: f"t{n % 8 if n % 5 == 0 else n}")
hold_keys = st.integers(0, 14).map("h{}".format)
currencies = st.sampled_from(("SEK", "SEK", "SEK", "EUR"))
units = st.integers(-20, 70).map(lambda n: {-7: 0, -8: 2**53 + 1, -9: 200}.get(n, abs(n) + 1))
hours = st.integers(0, 5)
odd = st.tuples(names, names, currencies)
ends = st.integers(0, 9).flatmap(lambda n: st.sampled_from(PAIRS) if n else odd)


transfers = st.builds(
    lambda ends, units, text, hour: NaiveTransfer(ends[0], ends[1], units, ends[2], text, hour=hour),
    ends,
    units,
    st.sampled_from(("", "work")),
    hours,
)
asked = st.tuples(keys, transfers)
usual = st.builds(Open, opened, st.sampled_from((-150, -50, 0)), st.just(LIMIT), st.just("open"), st.just("Kvarn 3"))
opens = st.one_of(
    usual,
    st.builds(
        Open,
        opened,
        st.sampled_from((-150, 0, -LIMIT)),
        st.sampled_from((LIMIT, 200, 0)),
        st.sampled_from(("open", "frozen", "closed")),
        st.sampled_from(("", "Ω")),
        st.sampled_from(("", "", "", "EUR")),
    ),
)
posts = st.builds(Post, st.lists(asked, min_size=1, max_size=5))
linked = st.builds(Post, st.lists(asked, min_size=2, max_size=3), st.just(True))
reversals = st.builds(Reverse, keys, keys, hours)
expiries = st.one_of(st.just(NEVER), st.integers(-5, 60).map(lambda seconds: START + seconds * SECOND))
placings = st.builds(
    lambda key, ends, units, expires: Place(key, ends[0], ends[1], units, ends[2], expires),
    hold_keys,
    ends,
    units,
    expiries,
)
captures = st.builds(Capture, keys, hold_keys, st.none() | units, currencies, st.booleans(), hours)
releases = st.builds(Release, hold_keys)
locks = st.builds(Lock, st.integers(0, 2))
one_step: st.SearchStrategy[Step] = st.one_of(posts, linked, placings, posts, placings, captures, reversals, releases)


def as_held(place: Place, key: str, paid: NaiveTransfer) -> tuple[str, NaiveTransfer]:
    return key, replace(paid, debit=place.debit, credit=place.credit, currency=place.currency)


def of_hold(place: Place, step: Capture, taken: int | None) -> Capture:
    return replace(step, hold=place.key, currency=place.currency, units=taken)


held_and_taken = st.tuples(placings, captures, captures, st.integers(0, 2)).map(
    lambda drawn: [
        drawn[0],
        of_hold(drawn[0], drawn[1], drawn[0].units // 2),
        of_hold(drawn[0], drawn[2], drawn[0].units - drawn[0].units // 2 + drawn[3] - 1),
        Release(drawn[0].key),
    ]
)
"""Captured in two parts, of which the second takes all, or one unit less or more."""
held_and_spent = st.tuples(placings, asked).map(lambda drawn: [drawn[0], Post([as_held(drawn[0], *drawn[1])])])
paid_and_undone = st.tuples(posts, reversals).map(
    lambda drawn: [drawn[0], replace(drawn[1], original=drawn[0].asked[0][0])],
)
stories: st.SearchStrategy[list[Step]] = st.one_of(
    st.lists(one_step, min_size=1, max_size=2),
    held_and_taken,
    held_and_spent,
    paid_and_undone,
    usual.map(lambda step: [step]),
)
works = st.tuples(stories, stories, st.integers(0, 2)).map(
    lambda drawn: [*drawn[0], *drawn[1], *([] if drawn[2] else [Fail()])]
)
"""A third of them fails at the end."""


class TwoBooks(RuleBasedStateMachine):
    """The ledger's book and the naive one."""

    place: ClassVar[str]
    """The url of the database."""
    numbers = count()

    @initialize()
    def begin(self) -> None:
        self.name = f"book-{next(self.numbers)}"
        self.clock = ManualClock(START)
        self.files = ExitStack()
        self.book = self.opened()
        self.naive = NaiveBook()
        self.asked: list[Step] = []
        self.past: dict[int, dict[str, tuple[Any, ...]]] = {}
        """What every account showed at each instant."""
        self.run([[Open(name, -80, LIMIT, "open", "") for name in OPENED]])

    def opened(self) -> Book:
        return self.files.enter_context(open_book(self.place, self.clock, self.name))

    @rule(story=stories)
    def ask(self, story: list[Step]) -> None:
        self.run([[step] for step in story])

    @rule(several=st.lists(works, min_size=2, max_size=4))
    def ask_together(self, several: list[list[Step]]) -> None:
        self.run(several)

    @rule(story=stories)
    def fail_once(self, story: list[Step]) -> None:
        """What failing work did with what another began is done by a third."""
        self.run([story[:1], [*story[1:], Fail()], story[1:]])

    @rule(which=st.lists(st.integers(0, 99), min_size=1, max_size=3))
    def ask_again(self, which: list[int]) -> None:
        self.run([[self.asked[each % len(self.asked)]] for each in which])

    @precondition(lambda self: self.naive.holds)
    @rule(which=st.integers(0, 9), step=st.one_of(captures, captures, captures, releases))
    def end_what_is_held(self, which: int, step: Capture | Release) -> None:
        key = self.one_of(self.naive.holds, which)
        if isinstance(step, Capture):
            step = replace(step, currency=self.naive.holds[key].currency)
        self.run([[replace(step, hold=key)]])

    @precondition(lambda self: self.naive.transfers)
    @rule(which=st.integers(0, 99), step=reversals)
    def reverse_what_was_posted(self, which: int, step: Reverse) -> None:
        self.run([[replace(step, original=self.one_of(self.naive.transfers, which))]])

    @rule(seconds=st.integers(-3, 30))
    def let_time_pass(self, seconds: int) -> None:
        self.clock.advance(seconds * SECOND)
        self.run([[]])

    @rule(what=st.integers(0, 4), step=st.one_of(opens, locks))
    def keep_house(self, what: int, step: Step) -> None:
        if what == 0:
            self.files.close()
            self.book = self.opened()
        elif what == 1:
            self.book.add_up(5)
        elif what == 2 or isinstance(step, Open):
            self.run([[step]])

    def one_of(self, known: Mapping[str, object], which: int) -> str:
        return list(known)[which % len(known)]

    def run(self, several: list[list[Step]]) -> None:
        """Have each list of steps done as one piece of work, all in one batch, by both books."""
        expected: list[object] = []
        now = self.clock.now()
        with self.naive.batch(now):
            for work in several:
                try:
                    with self.naive.piece_of_work():
                        expected.append([step.naive(self.naive) for step in work])
                except NaiveRejected as rejected:
                    expected.append(str(rejected))
        found = self.book.together(*(_work(steps) for steps in several))
        assert [each.code if isinstance(each, Rejected) else each for each in found] == expected
        self.asked += [step for work in several for step in work]
        self.agree()

    def agree(self) -> None:
        overview = self.book.reader.overview()
        shown = {name: account.shown for name, account in self.naive.accounts.items()}
        assert {each.account.id: _shown(each) for each in overview.statuses} == shown
        available = {name: account.available for name, account in self.naive.accounts.items()}
        assert {each.account.id: each.available.units for each in overview.statuses} == available
        assert (overview.head.seq, overview.head.transfers) == (self.naive.seq, len(self.naive.transfers))
        assert _links(overview.links) == self.naive.links()
        assert {each.id: each.remaining.units for each in self.book.reader.open_holds()} == {
            derived_id(key): hold.left for key, hold in self.naive.holds.items() if hold.state == "open"
        }
        self.past[self.naive.time] = shown

    def teardown(self) -> None:
        if not hasattr(self, "naive"):
            return
        with self.files:
            reader = self.book.reader
            assert reader.verify().faults == ()
            for name in self.naive.accounts:
                statement = [transfer.id for transfer in reader.statement(AccountId(name), 1_000)]
                own = [key for key, each in self.naive.transfers.items() if name in (each.debit, each.credit)]
                assert statement == [derived_id(key) for key in reversed(own)]
            assert _links(reader.links_between(time_of(1), time_of(4))) == self.naive.links(1, 4)
            for time, accounts in self.past.items():
                for name, account in accounts.items():
                    assert _shown(reader.status_at(AccountId(name), Instant(time))) == account


def _work(steps: list[Step]) -> Callable[[Batch], list[list[str]]]:
    return lambda batch: [step.real(batch) for step in steps]


def _links(totals: list[LinkTotal]) -> dict[tuple[str, str], tuple[int, int]]:
    return {(each.debit, each.credit): (each.transfers, each.amount.units) for each in totals}


def _shown(status: AccountStatus) -> tuple[Any, ...]:
    account = status.account
    money = status.total_in.units, status.total_out.units, status.held.units
    return *money, account.floor.units, account.ceiling_units, account.state.value, account.name


@pytest.mark.parametrize(("kind", "examples"), [("sqlite", 15), ("postgresql", 3)])
def test_the_ledger_agrees_with_a_naive_book(
    kind: str, examples: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'book.db'}" if kind == "sqlite" else str(request.getfixturevalue("postgresql_url"))
    machine = type("TwoBooksThere", (TwoBooks,), {"place": url})
    steps = settings(max_examples=examples, stateful_step_count=20, deadline=None)
    run_state_machine_as_test(machine, settings=steps)
