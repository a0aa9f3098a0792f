"""Whatever a piece of work asks for, the book stays open and its neighbours are kept."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ledgers import START, account, capture, hold, open_book, payment

from core.clock import SECOND, Instant
from core.errors import Rejected
from core.ids import derived_id
from core.money import SEK, Currency, Money
from ledger import holds
from ledger.batch import Batch
from ledger.event import EventKind
from ledger.hold import Hold, HoldRefused, HoldState
from ledger.tables import outbox_table
from ledger.transfer import Posted, Reason, Refused, TransferKind

SOON = Instant(START + 10 * SECOND)
LONG = "x" * 1_000_000
FORGED = Currency("SEK", 1, 0, "forged")
PAID, OPEN_HOLD = derived_id("paid"), derived_id("h")
GOOD = payment("new", "press", "energy", "1 kr")
GOOD_HOLD = hold("new", "press", "energy", "1 kr", SOON)
OUTBOX_ROW = (1, 1, 0, "b", "energy")

NO_NUMBERS: list[Any] = [None, "5", 5.0, True, b"5"]
NO_INSTANTS: list[Any] = [2**63, 2**200, -(2**63) - 1, -1]
NO_TEXTS: list[Any] = [None, 5, b"text", ["text"]]
UNREADABLE = ["zero\0", "lone \udcff", LONG]
NO_IDS: list[Any] = [None, "0123456789abcdef", 5, b"", b"short", bytes(17), bytearray(16), [bytes(16)]]
NO_AMOUNTS: list[Any] = [
    None,
    5,
    *(Money(units, SEK) for units in (2**63, 2**200, 2**3000, -1, 0, 2**53 + 1)),
    *(Money(units, SEK) for units in NO_NUMBERS),
    Money(10**8, FORGED),
    Money(10**8, None),  # type: ignore[arg-type]
]


def changed(request: Any, **values: list[Any]) -> list[Any]:
    """What is asked, each time with one of these values in it."""
    return [replace(request, **{name: value}) for name, wrong in values.items() for value in wrong]


REQUESTS: list[Any] = [
    None,
    5,
    GOOD_HOLD,
    *changed(
        GOOD,
        id=NO_IDS,
        debit=[*NO_TEXTS, *UNREADABLE],
        credit=[*NO_TEXTS, *UNREADABLE],
        amount=NO_AMOUNTS,
        effective_time=[*NO_NUMBERS, *NO_INSTANTS],
        text=[*NO_TEXTS, *UNREADABLE],
        reference=[*NO_TEXTS, *UNREADABLE],
        source=[*NO_TEXTS, *UNREADABLE],
        kind=[TransferKind.REVERSAL, "x", 99],
        cause=[PAID, b"short", 5],
    ),
]
HOLDS: list[Any] = [
    None,
    GOOD,
    *(Hold(request, SOON) for request in REQUESTS),
    *changed(GOOD_HOLD, expires=[*NO_NUMBERS, *NO_INSTANTS, 2**62 - 1], captured=[5], state=[HoldState.RELEASED, 5]),
]
CAPTURES: list[Any] = [
    None,
    GOOD,
    *changed(
        capture("new", "h", "1 kr"),
        id=NO_IDS,
        hold=NO_IDS,
        amount=NO_AMOUNTS[1:],
        effective_time=[*NO_NUMBERS, *NO_INSTANTS],
        text=[*NO_TEXTS, *UNREADABLE],
        source=[*NO_TEXTS, *UNREADABLE],
    ),
]
REVERSALS: list[Any] = [
    *((id, PAID, Instant(5), "", "") for id in NO_IDS),
    *((derived_id("new"), id, Instant(5), "", "") for id in NO_IDS),
    *((derived_id("new"), PAID, at, "", "") for at in (*NO_NUMBERS, *NO_INSTANTS)),
    *((derived_id("new"), PAID, Instant(5), text, "") for text in (*NO_TEXTS, *UNREADABLE)),
    *((derived_id("new"), PAID, Instant(5), "", source) for source in (*NO_TEXTS, *UNREADABLE)),
]
REFUSALS: list[Any] = [
    None,
    GOOD,
    *(Refused(request, Reason.CONFLICT, "no") for request in REQUESTS),
    *(Refused(GOOD, reason, "no") for reason in (None, 5, "conflict")),  # type: ignore[arg-type]
    *(Refused(GOOD, Reason.CONFLICT, text) for text in (*NO_TEXTS, *UNREADABLE)),
]
EVENTS: list[Any] = [
    *((number, EventKind.PARTY, "{}") for number in (*NO_NUMBERS, *NO_INSTANTS)),
    *((0, kind, "{}") for kind in (None, 5, "party", "zero\0")),
    *((0, EventKind.REFUSED, content) for content in (None, 5, b"{}", "zero\0", "lone \udcff")),
]
ROWS: list[Any] = [
    [None],
    [()],
    [OUTBOX_ROW[:-1]],
    [(*OUTBOX_ROW, 1)],
    *([(*OUTBOX_ROW[:1], number, *OUTBOX_ROW[2:])] for number in (None, "5", 5.5, True, 2**63, -(2**63) - 1)),
    *([(*OUTBOX_ROW[:4], text)] for text in (None, 5, b"b", "zero\0", "lone \udcff")),
]
ENTRIES: dict[str, tuple[list[Any], Callable[[Batch, Any], object]]] = {
    "post": (REQUESTS, lambda batch, wrong: batch.post([wrong])),
    "post beside a good one": (REQUESTS, lambda batch, wrong: batch.post([replace(GOOD, id=derived_id("a")), wrong])),
    "post no list": ([None, 5, "post", GOOD], lambda batch, wrong: batch.post(wrong)),
    "post linked": (REQUESTS, lambda batch, wrong: batch.post_linked([replace(GOOD, id=derived_id("a")), wrong])),
    "reverse": (REVERSALS, lambda batch, wrong: batch.reverse(*wrong)),
    "place": (HOLDS, holds.place),
    "capture": (CAPTURES, holds.capture),
    "release": (NO_IDS, holds.release),
    "record a refusal": (REFUSALS, lambda batch, wrong: batch.record_refusal(wrong)),
    "lock a period": ([*NO_NUMBERS, *NO_INSTANTS], lambda batch, wrong: batch.lock_period(wrong)),
    "record": (EVENTS, lambda batch, wrong: batch.record(*wrong)),
    "append": (ROWS, lambda batch, wrong: batch.append(outbox_table, wrong)),
    "load": ([None, 5, [None], [5], [["press"]], ["zero\0"], ["lone \udcff"]], lambda batch, wrong: batch.load(wrong)),
    "fetch": (NO_IDS, lambda batch, wrong: batch.fetch(wrong)),
    "also": ([None, 5], lambda batch, wrong: batch.also(wrong)),
    "when committed": ([None, 5], lambda batch, wrong: batch.when_committed(wrong)),
    "make room": ([None, "5", 2**63], lambda batch, wrong: batch.make_room(wrong)),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_whatever_is_asked_the_book_stays_open_and_its_neighbours_are_kept(entry: str, database_url: str) -> None:
    """Each wrong value is asked for by a piece of work of its own, between two good ones; all are in one commit."""
    wrongs, ask = ENTRIES[entry]

    def try_it(wrong: Any) -> Callable[[Batch], object]:
        return lambda batch: ask(batch, wrong)

    def pay(number: int) -> Callable[[Batch], object]:
        return lambda batch: batch.post([payment(f"good {number}", "press", "energy", "0.01 kr")])[0]

    with open_book(database_url) as book:
        book.open(account("press", "-100 kr"), account("energy"))
        book.post(payment("paid", "press", "energy", "8 kr"))
        book.place(hold("h", "press", "energy", "20 kr"))
        works = [each for number, wrong in enumerate(wrongs) for each in (try_it(wrong), pay(number))]
        good, *answers = book.together(pay(-1), *works)
        assert isinstance(good, Posted)
        for wrong, answer, good in zip(wrongs, answers[::2], answers[1::2], strict=True):
            assert isinstance(good, Posted), f"{wrong!r:.300}: {good!r:.300}"
            assert is_clear(answer), f"{wrong!r:.300}: {answer!r:.300}"
        assert book.reader.verify().faults == ()


def is_clear(answer: object) -> bool:
    """Whether it says what is wrong, or that nothing is."""
    if isinstance(answer, (ValueError, TypeError, Rejected, Refused, HoldRefused)):
        return bool(str(answer))
    if isinstance(answer, list):
        return all(map(is_clear, answer))
    return not isinstance(answer, BaseException)
