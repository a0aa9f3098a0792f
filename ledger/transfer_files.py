"""Transfers as files: comma-separated values and JSON lines, out of a book and into one.

Out go posted transfers, in come requests; what is written reads back as the same request. Nothing is read until
everything can be: a file is taken whole, or refused with every problem in it.

A line without an id is given one, made of all that it says and of how many equal lines stand before it in its file.
So a file that is read twice pays once, also when its lines have moved or new ones stand between them, in whichever
of the formats; and two equal lines in one file stay two payments. A line that was changed after it was posted is a
new payment: who corrects files gives ids.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import IO, Any, TypeVar

from core.clock import Instant, from_datetime, to_text
from core.errors import Misconfigured, Problem, Rejected
from core.ids import TransferId, derived_id
from core.money import TRANSFER_UNITS_MAX, Currency, Money, currency
from ledger.account import AccountId
from ledger.transfer import (
    REFERENCE_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    Transfer,
    TransferKind,
    TransferRequest,
)

T = TypeVar("T")

REQUIRED = ("debit", "credit", "amount", "currency", "effective_time")
"""What every line must say."""
OPTIONAL = ("id", "text", "reference", "source", "kind", "cause")
POSTED = ("batch", "position", "posted_time")
"""What the book added: written, and passed over when read."""
COLUMNS = ("id", *REQUIRED, "text", "reference", "source", "kind", "cause", *POSTED)
"""In the order they are written; they are read in any."""

TRANSFERS_MAX = 1_000_000
"""Transfers in one file that is read."""
PROBLEMS_MAX = 200
"""Problems that are told; the rest are counted."""

_SHOWN_CHARACTERS_MAX = 60
_FREE_TEXT = ("debit", "credit", "text", "reference", "source")
# A spreadsheet takes a cell that begins like this for a formula, and runs it.
_FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")
_QUOTED_FORMULA = re.compile(r"'+[=+\-@＝＋－＠]")
_JSON_TYPES = {int: "a number", float: "a number", bool: "true or false", type(None): "null", list: "a list"}
_ID = re.compile(r"[0-9a-fA-F]{32}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})")
_AMOUNT = {mark: re.compile(rf"[0-9]{{1,20}}(?:{re.escape(mark)}[0-9]{{1,20}})?") for mark in ".,"}


def write_csv(transfers: Iterable[Transfer], to: IO[str]) -> int:
    """Write a header and one row per transfer, RFC 4180 with line feeds; how many transfers.

    `to` is opened with `newline=""`, as the csv module asks. Text that a spreadsheet would take for a formula gets an
    apostrophe in front, which reading takes away again.
    """
    writer = csv.DictWriter(to, COLUMNS, lineterminator="\n")
    writer.writeheader()
    written = 0
    for transfer in transfers:
        values = _values(transfer)
        for column in _FREE_TEXT:
            if _FORMULA.match(values[column]):
                values[column] = f"'{values[column]}"
        writer.writerow(values)
        written += 1
    return written


def write_json_lines(transfers: Iterable[Transfer], to: IO[str]) -> int:
    """Write one JSON object per line, its keys the columns, the amount as text; how many transfers."""
    written = 0
    for transfer in transfers:
        to.write(json.dumps(_values(transfer), ensure_ascii=False, separators=(",", ":")) + "\n")
        written += 1
    return written


def read_csv(lines: Iterable[bytes], file: str) -> list[TransferRequest]:
    """What the rows ask for, in their order; raises Misconfigured with everything that is wrong with them.

    `lines`: a file opened in binary mode; `file`: how it is shown to people. UTF-8, with or without byte order mark.
    Columns are found by the names in the first line. Where those are separated by semicolons, as Excel does it in
    Sweden, amounts have a decimal comma.
    """
    findings = _Findings(file)
    return _requests(_csv_rows(_decoded(lines, findings), findings), findings)


def read_json_lines(lines: Iterable[bytes], file: str) -> list[TransferRequest]:
    """The same for one JSON object per line; empty lines are passed over."""
    findings = _Findings(file)
    return _requests(_json_rows(_decoded(lines, findings), findings), findings)


def kind_text(kind: TransferKind) -> str:
    """`plain`, `reversal`, `capture+last_capture`."""
    return "+".join(str(each.name).lower() for each in kind) or "plain"


def _values(transfer: Transfer) -> dict[str, Any]:
    request = transfer.request
    return {
        "id": request.id.hex(),
        "debit": request.debit,
        "credit": request.credit,
        "amount": request.amount.plain(),
        "currency": request.amount.currency.code,
        "effective_time": to_text(request.effective_time),
        "text": request.text,
        "reference": request.reference,
        "source": request.source,
        "kind": kind_text(request.kind),
        "cause": request.cause.hex() if request.cause else "",
        "batch": transfer.seq,
        "position": transfer.position,
        "posted_time": to_text(transfer.posted_time),
    }


class _Findings:
    """Everything wrong with one file. Of very many, the first are kept and the rest counted."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.count = 0
        self._problems: list[Problem] = []

    def add(self, message: str, line: int, name: str = "", column: int = 1) -> None:
        self.count += 1
        if self.count <= PROBLEMS_MAX:
            self._problems.append(Problem(message, name, self.file, line, column))

    def checked(self, row: _Row, name: str, parse: Callable[[str], T]) -> T | None:
        """What stands in that column, or None after noting why it cannot be."""
        cell = row.cells.get(name, "")
        try:
            if not isinstance(cell, str):
                # Also an amount: what wrote it as a number may have rounded it to a binary fraction before.
                raise Rejected("cell", f"expected text in quotes, got {_JSON_TYPES.get(type(cell), 'an object')}")
            return parse(cell)
        except Rejected as rejected:
            self.add(rejected.text, row.line, name)
            return None

    def raise_any(self) -> None:
        if self.count > PROBLEMS_MAX:
            self._problems.append(Problem(f"and {self.count - PROBLEMS_MAX} problems more", file=self.file))
        if self.count:
            raise Misconfigured(self._problems)


@dataclass(frozen=True, slots=True)
class _Row:
    """What stands in the row that begins on `line`, by column; amounts in it have this decimal mark."""

    line: int
    cells: Mapping[str, object]
    decimal_mark: str = "."


def _decoded(lines: Iterable[bytes], findings: _Findings) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if number == 1 and (line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in line):
            findings.add("is UTF-16 or no text at all; save the file as UTF-8, in Excel as 'CSV UTF-8'", number)
            return
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            message = (
                f"is not UTF-8 at byte {error.start + 1} of the line; save the file as UTF-8, in Excel 'CSV UTF-8'"
            )
            findings.add(message, number)
            yield line.decode("utf-8", errors="replace")


def _csv_rows(lines: Iterator[str], findings: _Findings) -> Iterator[_Row]:
    header = next(lines, None)
    if header is None:
        if not findings.count:
            findings.add(f"is empty; expected a first line with the names {','.join(COLUMNS)}", 1)
        return
    separator, mark = (";", ",") if ";" in header else (",", ".")
    cells_by_line = _split(chain([header], lines), separator, findings)
    names = [cell.strip() for cell in next(cells_by_line, (1, []))[1]]
    if findings.count or not _check_header(names, findings):
        return
    for line, cells in cells_by_line:
        if not any(cells):  # a blank line, or the empty rows a spreadsheet leaves at the end
            continue
        if len(cells) != len(names):
            findings.add(f"expected {len(names)} cells separated by {separator!r}, got {len(cells)}", line)
            continue
        row = dict(zip(names, cells, strict=True))
        for name in row.keys() & set(_FREE_TEXT):
            row[name] = row[name][1:] if _QUOTED_FORMULA.match(row[name]) else row[name]
        yield _Row(line, row, mark)


def _split(lines: Iterator[str], separator: str, findings: _Findings) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, and the line it begins on."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            findings.add(f"is not CSV: {error}; is every quote in the row doubled, and closed?", line)


def _check_header(names: list[str], findings: _Findings) -> bool:
    """Whether the rows can be read by these names; what is wrong with them is noted."""
    noted = findings.count
    for name in dict.fromkeys(names):
        if name not in COLUMNS:
            findings.add(f"{_shown(name)} is no column; expected some of {', '.join(COLUMNS)}", 1)
        elif names.count(name) > 1:
            findings.add("stands in the header more than once", 1, name)
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        findings.add(f"names no {', '.join(missing)}; expected a first line with the name of each column", 1)
    return findings.count == noted


def _json_rows(lines: Iterator[str], findings: _Findings) -> Iterator[_Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_Object)
        except json.JSONDecodeError as error:
            findings.add(f"is not JSON: {error.msg}", number, column=error.colno)
            continue
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, a thousand brackets
            findings.add(f"is not JSON that can be read: {error}", number)
            continue
        if not isinstance(value, _Object):
            findings.add(f'expected a JSON object such as {{"debit": ...}}, got {_shown(line.strip())}', number)
            continue
        yield _Row(number, _json_cells(value, number, findings))


class _Object(list[tuple[str, object]]):
    """A JSON object as it stands: a key may come twice."""


def _json_cells(pairs: _Object, line: int, findings: _Findings) -> dict[str, object]:
    cells: dict[str, object] = {}
    for key, value in pairs:
        if key not in COLUMNS:
            findings.add(f"{_shown(key)} is no key; expected some of {', '.join(COLUMNS)}", line)
        elif key in cells:
            findings.add("stands there twice", line, key)
        cells[key] = value
    return cells


def _requests(rows: Iterator[_Row], findings: _Findings) -> list[TransferRequest]:
    requests: list[TransferRequest] = []
    lines: dict[TransferId, int] = {}
    alike: Counter[TransferId] = Counter()
    for count, row in enumerate(rows, start=1):
        if count > TRANSFERS_MAX:
            findings.add(f"expected at most {TRANSFERS_MAX:,} transfers in a file; divide it", row.line)
            break
        request = _request(row, alike, findings)
        if request is None:
            continue
        if request.id in lines:
            findings.add(f"stands on line {lines[request.id]} already; one id is one payment", row.line, "id")
        lines.setdefault(request.id, row.line)
        requests.append(request)
    findings.raise_any()
    return requests


def _request(row: _Row, alike: Counter[TransferId], findings: _Findings) -> TransferRequest | None:
    """What the row asks for, or None after noting each cell that cannot be; `alike` counts what has no id."""
    given = findings.checked(row, "id", _id)
    debit = findings.checked(row, "debit", _account)
    credit = findings.checked(row, "credit", _account)
    of = findings.checked(row, "currency", lambda cell: currency(cell.strip()))
    amount = findings.checked(row, "amount", lambda cell: _amount(cell.strip(), row.decimal_mark, of))
    at = findings.checked(row, "effective_time", _time)
    text = findings.checked(row, "text", lambda cell: _text(cell, TEXT_CHARACTERS_MAX))
    reference = findings.checked(row, "reference", lambda cell: _text(cell, REFERENCE_CHARACTERS_MAX))
    source = findings.checked(row, "source", _text)
    findings.checked(row, "kind", _plain_kind)
    findings.checked(row, "cause", _no_cause)
    if debit is not None and debit == credit:
        findings.add(f"{_shown(debit)} cannot pay itself; expected another account than in debit", row.line, "credit")
    if debit is None or credit is None or amount is None or at is None:
        return None
    texts = (text or "", reference or "", source or "")
    if not given:
        content = derived_id("import", debit, credit, str(amount.units), amount.currency.code, str(at), *texts)
        alike[content] += 1
        given = derived_id("import", content.hex(), str(alike[content]))
    return TransferRequest(given, debit, credit, amount, at, *texts)


def _id(cell: str) -> TransferId:
    """No bytes where no id was given."""
    cell = cell.strip()
    if cell and (not _ID.fullmatch(cell) or not int(cell, 16)):
        raise Rejected(
            "id",
            f"expected 32 hexadecimal digits, not all of them 0, or nothing to have an id made, got {_shown(cell)}",
        )
    return TransferId(bytes.fromhex(cell))


def _account(cell: str) -> AccountId:
    if not cell.strip():
        raise Rejected("account", "expected an account's id, got nothing")
    return AccountId(_text(cell))


def _amount(cell: str, mark: str, of: Currency | None) -> Money | None:
    """None when only the currency keeps it from being read."""
    if not _AMOUNT[mark].fullmatch(cell):
        example = f"1250{mark}50"
        raise Rejected("amount", f"expected digits and a decimal {mark!r} such as {example}, got {_shown(cell)}")
    if of is None:
        return None
    money = Money.exact(Decimal(cell.replace(mark, ".")), of)
    if not 0 < money.units <= TRANSFER_UNITS_MAX:
        largest = Money(TRANSFER_UNITS_MAX, of)
        raise Rejected("amount", f"expected an amount above zero and at most {largest}, got {money}")
    return money


def _time(cell: str) -> Instant:
    cell = cell.strip()
    try:
        if _TIME.fullmatch(cell):
            return from_datetime(datetime.fromisoformat(cell).astimezone(UTC))
    except (ValueError, OverflowError):
        pass  # the thirtieth of February, or before the year 1 in UTC
    raise Rejected("time", f"expected a time such as 2026-11-22T15:04:05Z, with Z or an offset, got {_shown(cell)}")


def _text(cell: str, characters_max: int | None = None) -> str:
    if not cell.isprintable():
        raise Rejected("text", f"expected no line breaks and control characters, got {_shown(cell)}")
    if characters_max is not None and len(cell) > characters_max:
        raise Rejected("text", f"expected at most {characters_max} characters, got {len(cell)}")
    return cell


def _plain_kind(cell: str) -> None:
    if cell.strip() not in ("", kind_text(TransferKind.PLAIN)):
        text = "what is linked, reverses or captures belongs to the book it was posted in"
        raise Rejected("kind", f"expected plain or nothing, got {_shown(cell)}: {text}")


def _no_cause(cell: str) -> None:
    if cell.strip():
        raise Rejected("cause", f"expected nothing, got {_shown(cell)}: only reversals and captures have a cause")


def _shown(text: str) -> str:
    """A piece of the file in a message, never too long."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "…")
