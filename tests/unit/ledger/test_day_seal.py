"""A day's seal: it hangs on everything that was sealed that day and before, and its line is read as it was written."""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import Instant
from core.errors import Rejected
from ledger.day_seal import DAY, DaySeal, day_of, parse, seal_day, span, to_line
from ledger.hash_tree import root
from ledger.journal import GENESIS

DAY_SHOWN = date(2026, 11, 22)
HASHES = b"".join(hashlib.sha256(b"seal %d" % number).digest() for number in range(200))
SEALED = seal_day("main", DAY_SHOWN, 41, HASHES, GENESIS)
LINE = to_line(SEALED)


def test_a_day_hashes_what_the_reference_page_says() -> None:
    form = b"mv-day-1" + b"2026-11-22" + struct.pack(">qq", 41, 240) + root(HASHES) + GENESIS + b"main"
    assert DaySeal("main", DAY_SHOWN, 41, 240, hashlib.sha256(form).digest()) == SEALED


def test_a_days_hash_stays_what_it_was_for_ever() -> None:
    assert SEALED.hash.hex() == "ed5c4862f255c8ae7d00d46074001776105a1cc90f4746fd6a161f4d42af8629"


def test_a_day_of_one_seal_stands_on_that_seal() -> None:
    one = seal_day("main", DAY_SHOWN, 1, HASHES[:32], GENESIS)
    assert (one.first_seq, one.last_seq) == (1, 1)
    form = b"mv-day-1" + b"2026-11-22" + struct.pack(">qq", 1, 1) + HASHES[:32] + GENESIS + b"main"
    assert one.hash == hashlib.sha256(form).digest()


def test_a_day_is_known_by_everything_it_names() -> None:
    flipped = bytes([HASHES[0] ^ 1]) + HASHES[1:]
    others = [
        seal_day("mainz", DAY_SHOWN, 41, HASHES, GENESIS),
        seal_day("main", date(2026, 11, 23), 41, HASHES, GENESIS),
        seal_day("main", DAY_SHOWN, 42, HASHES, GENESIS),
        seal_day("main", DAY_SHOWN, 41, flipped, GENESIS),
        seal_day("main", DAY_SHOWN, 41, HASHES[:-32], GENESIS),
        seal_day("main", DAY_SHOWN, 41, HASHES[32:], HASHES[:32]),
        seal_day("main", DAY_SHOWN, 41, HASHES, HASHES[:32]),
    ]
    assert len({SEALED.hash, *(other.hash for other in others)}) == 8


@pytest.mark.parametrize(
    ("hashes", "previous", "code"),
    [
        (b"", GENESIS, "nothing_sealed"),
        (HASHES[:-1], GENESIS, "not_hashes"),
        (HASHES, b"", "not_hashes"),
        (HASHES, GENESIS + b"\0", "not_hashes"),
    ],
)
def test_a_day_without_batches_or_without_hashes_is_not_sealed(hashes: bytes, previous: bytes, code: str) -> None:
    with pytest.raises(Rejected) as refusal:
        seal_day("main", DAY_SHOWN, 1, hashes, previous)
    assert refusal.value.code == code


def test_a_day_begins_and_ends_at_midnight_in_utc() -> None:
    begin, end = span(DAY_SHOWN)
    assert end - begin == DAY
    assert [day_of(Instant(at)) for at in (begin - 1, begin, end - 1, end)] == [
        date(2026, 11, 21),
        DAY_SHOWN,
        DAY_SHOWN,
        date(2026, 11, 23),
    ]


def test_the_line_is_one_that_a_person_can_read() -> None:
    assert (
        '{"version": "mv-day-1", "book": "main", "day": "2026-11-22", "first_seq": 41, "last_seq": 240, '
        f'"hash": "{SEALED.hash.hex()}"}}'
    ) == LINE


@given(
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1),
    st.dates(),
    st.integers(1, 2**62),
    st.integers(0, 2**62),
    st.binary(min_size=32, max_size=32),
)
@settings(max_examples=100)
def test_a_line_is_read_as_it_was_written(book: str, day: date, first: int, more: int, hash: bytes) -> None:
    seal = DaySeal(book, day, first, first + more, hash)
    line = to_line(seal)
    assert "\n" not in line
    assert parse(line) == parse(f"{line}\n") == parse(f"{line}\r\n") == seal


def test_a_line_with_one_bit_flipped_is_refused_or_plainly_says_something_else() -> None:
    """The line alone cannot prove its own hash; but no flipped bit goes unseen by whoever compares the two seals."""
    data = LINE.encode()
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            read = parse(bytes(flipped).decode())
        except (Rejected, UnicodeDecodeError):
            continue
        assert read != SEALED


CONTENT = json.loads(LINE)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "[]",
        "[" * 100_000,
        "{",
        LINE + " ",
        LINE + "\n\n" + LINE,
        LINE.replace(": ", ":"),
        LINE.replace(SEALED.hash.hex(), SEALED.hash.hex().upper()),
        LINE.replace('"hash"', '"book": "other", "hash"'),
        json.dumps(CONTENT | {"version": "mv-day-2"}),
        json.dumps(CONTENT | {"book": ["main"]}),
        json.dumps(CONTENT | {"book": "ma\nin"}),
        json.dumps(CONTENT | {"book": "\ud800"}),
        json.dumps(CONTENT | {"day": "2026-W47-7"}),
        json.dumps(CONTENT | {"day": "2026-02-30"}),
        json.dumps(CONTENT | {"day": 20261122}),
        json.dumps(CONTENT | {"first_seq": True}),
        json.dumps(CONTENT | {"first_seq": 0}),
        json.dumps(CONTENT | {"first_seq": "41"}),
        json.dumps(CONTENT | {"last_seq": 40}),
        json.dumps(CONTENT | {"last_seq": float("inf")}),
        json.dumps(CONTENT | {"hash": "ab" * 31}),
        json.dumps(CONTENT | {"hash": None}),
        json.dumps(CONTENT | {"note": "hello"}),
        *(json.dumps({key: value for key, value in CONTENT.items() if key != without}) for without in CONTENT),
    ],
)
def test_a_line_that_is_not_that_of_a_day_is_refused(line: str) -> None:
    with pytest.raises(Rejected) as refusal:
        parse(line)
    assert refusal.value.code == "not_a_day_seal"
    assert refusal.value.text.isprintable()


def test_a_line_of_another_version_is_called_that() -> None:
    with pytest.raises(Rejected, match="expected version mv-day-1, got 'mv-day-2'"):
        parse(json.dumps(CONTENT | {"version": "mv-day-2"}))
