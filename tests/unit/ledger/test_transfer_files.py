"""What is written reads back; what cannot be read is refused whole, with every problem in it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import Instant, from_datetime, to_datetime
from core.errors import Misconfigured
from core.ids import TransferId, derived_id
from core.money import CURRENCIES, EUR, TRANSFER_UNITS_MAX, Money
from ledger import transfer_files
from ledger.account import AccountId
from ledger.transfer import Transfer, TransferKind, TransferRequest
from ledger.transfer_files import COLUMNS, read_csv, read_json_lines, write_csv, write_json_lines

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "exchange_formats.md"

Write = Callable[[Iterable[Transfer], IO[str]], int]
Read = Callable[[Iterable[bytes], str], list[TransferRequest]]
FORMATS = pytest.mark.parametrize(
    ("write", "read"), [(write_csv, read_csv), (write_json_lines, read_json_lines)], ids=["csv", "json lines"]
)

characters = st.characters(exclude_categories=("C", "Z"))
begins_formula = st.sampled_from(("", "", "'", "''", "=", "+", "-", "@", "＝", "'=1+1", "'-", "=cmd|' /C calc'!A0"))
awkward = st.sampled_from(" ,;\"'=\\{}[]:|")
free_text = st.builds(str.__add__, begins_formula, st.text(st.one_of(awkward, characters), max_size=30))
account_ids = st.one_of(st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True), free_text.filter(str.strip))
instants = st.datetimes().map(lambda naive: from_datetime(naive.replace(tzinfo=to_datetime(Instant(0)).tzinfo)))
moneys = st.builds(Money, st.integers(1, TRANSFER_UNITS_MAX), st.sampled_from(list(CURRENCIES.values())))
requests = st.builds(
    TransferRequest,
    st.binary(min_size=16, max_size=16).filter(any).map(TransferId),
    account_ids.map(AccountId),
    account_ids.map(AccountId),
    moneys,
    instants,
    free_text,
    free_text,
    free_text,
).filter(lambda request: request.debit != request.credit)

PAYMENT = TransferRequest(
    derived_id("x"), AccountId("press"), AccountId("agv-7"), Money.parse("12.5 kr"), Instant(1), "a", "b", "user:anna"
)
HEADER = "debit,credit,amount,currency,effective_time"
ROW = "press,agv-7,12.5,SEK,2026-11-22T15:04:05Z"


def posted(*asked: TransferRequest) -> list[Transfer]:
    return [Transfer(request, 7, position, Instant(9)) for position, request in enumerate(asked)]


def content(write: Write, asked: Iterable[TransferRequest]) -> io.BytesIO:
    binary = io.BytesIO()
    text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
    write(posted(*asked), text)
    text.flush()
    text.detach()
    binary.seek(0)
    return binary


def lines(*rows: str) -> io.BytesIO:
    return io.BytesIO("\r\n".join(rows).encode())


def problems(read: Read, file: io.BytesIO) -> list[str]:
    with pytest.raises(Misconfigured) as refused:
        read(file, "pay.csv")
    return [str(problem) for problem in refused.value.problems]


@FORMATS
@settings(deadline=None)
@given(asked=st.lists(requests, max_size=5, unique_by=lambda request: request.id))
def test_what_is_written_reads_back_as_the_same_requests(
    write: Write, read: Read, asked: list[TransferRequest]
) -> None:
    assert read(content(write, asked), "f") == asked


@FORMATS
def test_a_file_on_disk_says_how_many_it_holds_and_reads_back(tmp_path: Path, write: Write, read: Read) -> None:
    asked = [PAYMENT, replace(PAYMENT, id=derived_id("y"), text='12,5 kWh; "natt" – åäö 電力')]
    path = tmp_path / "transfers"
    with path.open("w", encoding="utf-8", newline="") as file:
        assert write(posted(*asked), file) == 2
    with path.open("rb") as file:
        assert read(file, path.name) == asked


def test_a_spreadsheet_finds_no_formula() -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "＝1"]
    written = content(write_csv, [replace(PAYMENT, text=text) for text in texts]).read().decode()
    assert not re.search(r'[,;"][=+\-@＝]', written)
    assert "'=1+1" in written


@FORMATS
def test_each_transfer_is_written_before_the_next_is_asked_for(write: Write, read: Read) -> None:
    to = io.StringIO()

    def stream() -> Iterator[Transfer]:
        for transfer in posted(*(replace(PAYMENT, id=derived_id(str(number))) for number in range(3))):
            yield transfer
            assert transfer.id.hex() in to.getvalue()

    assert write(stream(), to) == 3


@FORMATS
@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (TransferKind.LINKED, "linked"),
        (TransferKind.REVERSAL, "reversal"),
        (TransferKind.CAPTURE | TransferKind.LAST_CAPTURE, "capture+last_capture"),
    ],
)
def test_history_is_written_but_never_read_as_new_payments(
    write: Write, read: Read, kind: TransferKind, shown: str
) -> None:
    said = problems(read, content(write, [PAYMENT, replace(PAYMENT, kind=kind, cause=derived_id("cause"))]))
    assert [text for text in said if "kind: expected plain or nothing" in text and f"'{shown}'" in text]
    assert [text for text in said if "cause: expected nothing" in text]


@FORMATS
def test_what_the_book_added_is_passed_over(write: Write, read: Read) -> None:
    first = content(write, [PAYMENT])
    spoilt = io.BytesIO(first.getvalue().replace(b"1970-01-01T00:00:00.000009Z", b"never"))
    assert spoilt.getvalue() != first.getvalue()
    assert read(spoilt, "f") == [PAYMENT]


def without_ids(*rows: str) -> list[TransferRequest]:
    return read_csv(lines(HEADER + ",text", *rows), "f")


def test_equal_lines_without_an_id_are_payments_of_their_own_and_the_same_ones_the_next_time() -> None:
    first = without_ids(f"{ROW},a", f"{ROW},a")
    assert first[0].id != first[1].id
    assert without_ids(f"{ROW},a", f"{ROW},a") == first


def test_lines_that_moved_or_got_new_neighbours_stay_the_same_payments() -> None:
    first = without_ids(f"{ROW},a", f"{ROW},b", f"{ROW},a")
    later = without_ids(f"{ROW},new", f"{ROW},b", f"{ROW},a", f"{ROW},a", f"{ROW},a")
    assert {request.id for request in first} < {request.id for request in later}
    assert len({request.id for request in later}) == 5


@pytest.mark.parametrize("column", ["debit", "credit", "amount", "currency", "effective_time", "text"])
def test_whatever_a_line_says_makes_another_payment(column: str) -> None:
    other = {
        "debit": "d2", "credit": "c2", "amount": "12.51", "currency": "EUR",
        "effective_time": "2026-11-22T15:04:05.000001Z", "text": "b",
    }  # fmt: skip
    cells = dict(zip((HEADER + ",text").split(","), f"{ROW},a".split(","), strict=True))
    changed = {**cells, column: other[column]}
    assert without_ids(",".join(cells.values()))[0].id != without_ids(",".join(changed.values()))[0].id


def test_the_same_line_is_the_same_payment_in_every_format() -> None:
    time = "2026-11-22T15:04:05Z"
    row = {"debit": "press", "credit": "agv-7", "amount": "12.5", "currency": "SEK", "effective_time": time}
    json_line = str(row).replace("'", '"')
    expected = read_csv(lines(HEADER, ROW), "f")
    assert read_json_lines(lines(json_line), "f") == expected
    assert read_csv(lines(HEADER.replace(",", ";"), f"press;agv-7;12,50;SEK;{time}"), "f") == expected
    assert read_csv(lines(HEADER, "press,agv-7,12.50000000,SEK,2026-11-22T16:04:05.0+01:00"), "f") == expected


def test_columns_come_in_any_order_and_the_empty_rows_of_a_spreadsheet_are_no_payments() -> None:
    file = lines(
        "currency,text,credit,debit,effective_time,amount", "SEK,hej,agv-7,press,1970-01-01T00:00:00Z,1", ",,,,,"
    )
    (request,) = read_csv(file, "f")
    assert (request.debit, request.credit, str(request.amount), request.text) == (
        "press",
        "agv-7",
        "1.00 SEK",
        "hej",
    )


@pytest.mark.parametrize("read", [read_csv, read_json_lines])
def test_a_byte_order_mark_is_passed_over(read: Read) -> None:
    write = write_csv if read is read_csv else write_json_lines
    assert read(io.BytesIO(b"\xef\xbb\xbf" + content(write, [PAYMENT]).read()), "f") == [PAYMENT]


def test_a_swedish_spreadsheet_separates_with_semicolons_and_writes_a_decimal_comma() -> None:
    (request,) = read_csv(
        lines(
            "debit;credit;amount;currency;effective_time;text", 'press;agv-7;1250,5;SEK;2026-11-22T15:04:05Z;"a;b,c"'
        ),
        "f",
    )
    assert request.amount == Money.parse("1250.5 kr")
    assert request.text == "a;b,c"


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("1.250", "expected digits and a decimal ',' such as 1250,50, got '1.250'"),
        ("1 250,50", "expected digits and a decimal ',' such as 1250,50, got '1 250,50'"),
        ("-5", "expected digits and a decimal ','"),
    ],
)
def test_an_amount_that_could_be_read_in_two_ways_is_refused(amount: str, expected: str) -> None:
    said = problems(read_csv, lines(HEADER.replace(",", ";"), f"press;agv-7;{amount};SEK;2026-11-22T15:04:05Z"))
    assert len(said) == 1
    assert said[0].startswith("pay.csv:2:1: amount: " + expected)


CELLS = {
    "amount,0": "expected an amount above zero and at most 90 071 992.54740992 SEK, got 0.00 SEK",
    "amount,0.000000001": "has more than 8 decimals, the ledger's precision",
    'amount,"12,5"': "expected digits and a decimal '.' such as 1250.50, got '12,5'",
    "amount,": "expected digits and a decimal '.'",
    "amount,1e5": "expected digits and a decimal '.'",
    "amount,٣": "expected digits and a decimal '.'",
    "amount,99999999999999999999": "is beyond what the ledger can hold in SEK",
    "amount,100000000": "expected an amount above zero and at most",
    "currency,kr": "'kr' is not one of SEK, EUR",
    "currency,": "'' is not one of SEK, EUR",
    "debit,": "expected an account's id, got nothing",
    "credit,press": "'press' cannot pay itself; expected another account than in debit",
    "effective_time,2026-11-22": "expected a time such as 2026-11-22T15:04:05Z, with Z or an offset, got '2026-11-22'",
    "effective_time,2026-11-22T15:04:05": "expected a time such as",
    "effective_time,2026-02-30T15:04:05Z": "expected a time such as",
    "effective_time,0001-01-01T00:00:00+14:00": "expected a time such as",
    "id,abc": "expected 32 hexadecimal digits, not all of them 0, or nothing to have an id made, got 'abc'",
    "id,1.23457E+31": "expected 32 hexadecimal digits",
    "text," + "x" * 201: "expected at most 200 characters, got 201",
    "reference," + "x" * 141: "expected at most 140 characters, got 141",
    'text,"two\nlines"': "expected no line breaks and control characters, got 'two\\nlines'",
    "text,two\u2028lines": "expected no line breaks and control characters",
    "source,\x1b[2J": "expected no line breaks and control characters",
    "debit,pr\x00ess": "expected no line breaks and control characters",
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_that_cannot_be_is_named_with_its_line_and_column(cell: str) -> None:
    column, _, value = cell.partition(",")
    cells = dict(zip(HEADER.split(","), ROW.split(","), strict=True)) | {column: value}
    said = problems(read_csv, lines(",".join(cells), ",".join(cells.values())))
    assert len(said) == 1
    assert said[0].startswith(f"pay.csv:2:1: {column}: ")
    assert CELLS[cell] in said[0].replace("\xa0", " ")


def test_everything_wrong_is_told_at_once_and_nothing_is_read() -> None:
    wrong = [
        "press,agv-7,x,SEK,never",
        ROW,
        "press,agv-7,1",
        'press,agv-7,"1"2,SEK,2026-11-22T15:04:05Z',
        ",agv-7,1,XXX,",
    ]
    said = problems(read_csv, lines(HEADER, *wrong))
    assert [text[: text.index(" expected") + 1] if ": expected" in text else text for text in said] == [
        "pay.csv:2:1: amount: ",
        "pay.csv:2:1: effective_time: ",
        "pay.csv:4:1: ",
        "pay.csv:5:1: is not CSV: ',' expected after '\"'; is every quote in the row doubled, and closed?",
        "pay.csv:6:1: debit: ",
        f"pay.csv:6:1: currency: 'XXX' is not one of {', '.join(CURRENCIES)}",
        "pay.csv:6:1: effective_time: ",
    ]


def test_an_id_may_stand_once() -> None:
    file = content(write_csv, [PAYMENT, replace(PAYMENT, text="other")])
    assert problems(read_csv, file) == ["pay.csv:3:1: id: stands on line 2 already; one id is one payment"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HEADER + ",prise", "'prise' is no column; expected some of id, debit"),
        (HEADER + ",text,text", "text: stands in the header more than once"),
        (
            "debit,credit",
            "names no amount, currency, effective_time; expected a first line with the name of each column",
        ),
        (ROW, "names no debit, credit, amount"),
        ("", "names no debit, credit, amount"),
        (HEADER.replace(",", "\t"), "names no debit"),
    ],
)
def test_a_header_that_does_not_name_the_columns_is_refused(header: str, expected: str) -> None:
    said = problems(read_csv, lines(header, ROW))
    assert any(f"pay.csv:1:1: {expected}" in text for text in said)


def test_a_header_that_cannot_be_taken_apart_is_all_that_is_told() -> None:
    (said,) = problems(read_csv, lines('"debit"s,credit', ROW))
    assert said.startswith("pay.csv:1:1: is not CSV: ',' expected after '\"'")


def test_a_file_without_a_single_byte_says_so() -> None:
    assert problems(read_csv, io.BytesIO()) == [
        f"pay.csv:1:1: is empty; expected a first line with the names {','.join(COLUMNS)}"
    ]


def test_a_quote_that_is_never_closed_is_named_by_the_row_that_opens_it() -> None:
    said = problems(read_csv, lines(HEADER + ",text", f"{ROW},a", f'{ROW},"b', f"{ROW},c"))
    assert len(said) == 1
    assert said[0].startswith("pay.csv:3:1: is not CSV")


@pytest.mark.parametrize("read", [read_csv, read_json_lines])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_file_in_utf_16_is_refused_in_one_sentence(read: Read, encoding: str) -> None:
    said = problems(read, io.BytesIO(f"{HEADER}\n{ROW}\n".encode(encoding)))
    assert said == ["pay.csv:1:1: is UTF-16 or no text at all; save the file as UTF-8, in Excel as 'CSV UTF-8'"]


def test_a_line_in_another_encoding_is_named() -> None:
    file = io.BytesIO(f"{HEADER},text\n{ROW},a\n{ROW},kväll\n{ROW},natt\n".encode("cp1252"))
    said = problems(read_csv, file)
    assert said == [
        "pay.csv:3:1: is not UTF-8 at byte 45 of the line; save the file as UTF-8, in Excel 'CSV UTF-8'"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"debit": "a"', "pay.csv:1:14: is not JSON: Expecting ',' delimiter"),
        ("[1]", "pay.csv:1:1: expected a JSON object such as"),
        ('"a"', "pay.csv:1:1: expected a JSON object such as"),
        ("[" * 100_000, "pay.csv:1:1: is not JSON that can be read"),
        ("9" * 5_000, "pay.csv:1:1: is not JSON that can be read"),
        ('{"prise": "1"}', "pay.csv:1:1: 'prise' is no key; expected some of id, debit"),
        ('{"debit": "a", "debit": "b"}', "pay.csv:1:1: debit: stands there twice"),
        ('{"amount": 12.5}', "pay.csv:1:1: amount: expected text in quotes, got a number"),
        ('{"amount": NaN}', "pay.csv:1:1: amount: expected text in quotes, got a number"),
        ('{"cause": null}', "pay.csv:1:1: cause: expected text in quotes, got null"),
        ('{"text": {"a": 1}}', "pay.csv:1:1: text: expected text in quotes, got an object"),
        ('{"debit": "\\ud800"}', "pay.csv:1:1: debit: expected no line breaks and control characters"),
        ("{}", "pay.csv:1:1: debit: expected an account's id, got nothing"),
    ],
)
def test_a_line_that_is_no_transfer_in_json_is_named(line: str, expected: str) -> None:
    assert any(text.startswith(expected) for text in problems(read_json_lines, lines(line)))


def test_of_very_many_problems_the_first_are_told_and_the_rest_counted() -> None:
    said = problems(read_csv, lines(HEADER, *["press,agv-7,x,SEK,2026-11-22T15:04:05Z"] * 250))
    assert len(said) == transfer_files.PROBLEMS_MAX + 1
    assert said[-1] == "pay.csv: and 50 problems more"


def test_a_file_of_too_many_transfers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_files, "TRANSFERS_MAX", 3)
    assert len(read_csv(lines(HEADER, *[ROW] * 3), "f")) == 3
    assert problems(read_csv, lines(HEADER, *[ROW] * 4)) == [
        "pay.csv:5:1: expected at most 3 transfers in a file; divide it"
    ]


@pytest.mark.parametrize("read", [read_csv, read_json_lines])
@settings(deadline=None)
@given(data=st.data())
def test_damaged_files_are_refused_and_never_crash(read: Read, data: st.DataObject) -> None:
    write = write_csv if read is read_csv else write_json_lines
    good = bytearray(content(write, [PAYMENT, replace(PAYMENT, id=derived_id("y"), amount=Money(1, EUR))]).read())
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(good) - 1))
        good[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    refused: Misconfigured | None = None
    try:
        read(io.BytesIO(bytes(good)), "f")
    except Misconfigured as error:
        refused = error
    assert refused is None or all(problem.line for problem in refused.problems)


def test_the_page_names_every_column_in_order() -> None:
    table = re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert tuple(table) == COLUMNS


def test_a_file_that_an_older_version_read_still_pays_once() -> None:
    assert read_csv(lines(HEADER, ROW), "f")[0].id.hex() == "591d113dff8e8c015787db1a61987529"
