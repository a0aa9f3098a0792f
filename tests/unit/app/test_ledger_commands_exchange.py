"""`myntverk ledger export` and `import`: a book out of one plant and payments into another, each once."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_plants import LedgerPlant, plant_of
from ledgers import PLANT, account, payment

from core.clock import SECOND, Instant
from core.errors import InvariantBroken, Misconfigured, Rejected, Unavailable
from core.money import SEK
from ledger.account import AccountKind, AccountType
from ledger.clearing import clearing_accounts
from ledger.database_lock import DatabaseLock
from tests.conftest import RequireProgram

HEADER = "debit,credit,amount,currency,effective_time,text,source"
DAY = 24 * 3600 * SECOND


@pytest.fixture
def plant(tmp_path: Path, database_url: str) -> LedgerPlant:
    return with_accounts(tmp_path, database_url)


@pytest.fixture
def file_plant(tmp_path: Path) -> LedgerPlant:
    return with_accounts(tmp_path, f"sqlite:///{tmp_path / 'book.db'}")


def with_accounts(folder: Path, url: str) -> LedgerPlant:
    plant = plant_of(folder, url)
    with plant.opened() as book:
        book.open(account("a", "-100 kr", kind=AccountKind.MACHINE), account("b"), account("c", ceiling_units=0))
    return plant


def csv_of(folder: Path, *rows: str, header: str = HEADER) -> Path:
    file = folder / "payments.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def row(amount: str, debit: str = "a", credit: str = "b", source: str = "", day: int = 1) -> str:
    return f"{debit},{credit},{amount},SEK,2026-01-{day:02}T12:00:00Z,part,{source}"


def sources(plant: LedgerPlant) -> list[str]:
    with plant.opened() as book, book.reader.history() as past:
        return [transfer.request.source for transfer in past.transfers()]


def test_a_file_pays_an_account_of_another_book_where_it_names_the_book(plant: LedgerPlant, tmp_path: Path) -> None:
    with plant.opened() as book:
        book.open(*clearing_accounts("hall-2", PLANT.id, SEK))
    file = csv_of(tmp_path, row("1", credit="hall-2/agv"), row("2"))
    assert plant.lines("import", file) == ["2 posted, 0 already there, 0 refused"]
    assert plant.lines("import", file) == ["0 posted, 2 already there, 0 refused"]
    assert sources(plant) == ["import: to:hall-2/agv", "import:"]
    out = tmp_path / "out.csv"
    plant.lines("export", "--to", out)
    assert plant.lines("import", out) == ["0 posted, 2 already there, 0 refused"]


def test_a_file_is_posted_once_however_often_it_is_imported(plant: LedgerPlant, tmp_path: Path) -> None:
    file = csv_of(tmp_path, row("1"), row("2.50"), row("1"))
    assert plant.lines("import", file) == ["3 posted, 0 already there, 0 refused"]
    assert plant.lines("import", file) == ["0 posted, 3 already there, 0 refused"]
    assert plant.read("import", file) == {"posted": 0, "already_posted": 3, "refused": []}
    lines = tmp_path / "other.jsonl"
    keys = HEADER.split(",")
    lines.write_text(
        "\n".join(json.dumps(dict(zip(keys, row(each).split(","), strict=True))) for each in ("2.50", "9"))
    )
    assert plant.lines("import", lines) == ["1 posted, 1 already there, 0 refused"]
    assert {each["id"]: each["balance"] for each in plant.read("accounts")}["b"] == "13.500000"
    assert plant.lines("verify")[0].startswith("verified: 4 transfers")


def test_each_refused_payment_is_named_with_its_line_and_the_others_are_posted(
    plant: LedgerPlant, tmp_path: Path
) -> None:
    file = csv_of(tmp_path, row("60"), "", row("60"), ",,,,,,", row("1", credit="c"), row("1", debit="d"), row("30"))
    result = plant.run("import", file)
    assert result.exit_code == 1
    first, second, third, counts = result.stdout.replace("\N{NO-BREAK SPACE}", " ").splitlines()
    assert first.startswith(f"{file}:4: insufficient_funds: a has 40.00 SEK available")
    assert second.startswith(f"{file}:6: ceiling_reached: c may hold 0.00 SEK at most")
    assert third == f"{file}:7: unknown_debit_account: there is no account 'd' in this book"
    assert counts == "2 posted, 0 already there, 3 refused"
    again = json.loads(plant.run("import", file, "--json").stdout)
    assert (again["posted"], again["already_posted"]) == (0, 2)
    assert [(each["line"], each["reason"]) for each in again["refused"]] == [
        (4, "insufficient_funds"),
        (6, "ceiling_reached"),
        (7, "unknown_debit_account"),
    ]


def test_lines_are_counted_in_files_of_other_kinds_too(file_plant: LedgerPlant, tmp_path: Path) -> None:
    swedish = tmp_path / "excel.csv"
    heads, cells = HEADER.replace(",", ";"), row("7,50", debit="d").replace("d,b,7,50,", "d;b;7,50;")
    swedish.write_bytes(
        f"\ufeff{heads}\r\n\r\n{cells.replace('SEK,', 'SEK;').replace('Z,part,', 'Z;part;')}\r\n".encode()
    )
    assert file_plant.run("import", swedish).stdout.startswith(f"{swedish}:3: unknown_debit_account")
    lines = tmp_path / "payments.txt"
    asked = {"debit": "d", "credit": "b", "amount": "1", "currency": "SEK", "effective_time": "2026-01-01T12:00:00Z"}
    lines.write_text(f"\n\n{json.dumps(asked)}\n")
    said = file_plant.run("import", lines, "--format", "json-lines").stdout
    assert said.startswith(f"{lines}:3: unknown_debit_account")


def test_a_file_of_many_works_says_the_right_lines(file_plant: LedgerPlant, tmp_path: Path) -> None:
    rows = [row("0.01", day=1 + place % 28) for place in range(2500)]
    rows[1500] = row("0.01", debit="d")
    rows[2499] = row("0.01", debit="e")
    result = json.loads(file_plant.run("import", csv_of(tmp_path, *rows), "--json").stdout)
    assert (result["posted"], result["already_posted"]) == (2498, 0)
    assert [refused["line"] for refused in result["refused"]] == [1502, 2501]
    assert len(file_plant.lines("verify")) == 2


def test_no_file_may_claim_that_an_agreement_or_a_user_asked(plant: LedgerPlant, tmp_path: Path) -> None:
    claimed = ["agreement:rent", "user:anna", "import:agreement:rent", ""]
    rows = [row("1", source=source, day=day) for day, source in enumerate(claimed, start=1)]
    plant.lines("import", csv_of(tmp_path, *rows))
    assert sources(plant) == ["import:agreement:rent", "import:user:anna", "import:agreement:rent", "import:"]
    assert plant.lines("verify")[0].startswith("verified")  # an agreement's transfer without its charge is a fault


def test_a_book_takes_its_own_export_for_what_it_is(plant: LedgerPlant, tmp_path: Path) -> None:
    with plant.opened() as book:
        book.post(payment("1", "a", "b", "1 kr", source="agreement:rent"), payment("2", "a", "b", "1 kr"))
    file = tmp_path / "book.csv"
    plant.lines("export", "--to", file)
    assert plant.lines("import", file) == ["0 posted, 2 already there, 0 refused"]
    file.write_text(file.read_text().replace("agreement:rent", "agreement:lease"))
    changed = plant.run("import", file)
    assert changed.stdout.startswith(f"{file}:2: conflict: this request id already paid 1.00")
    assert changed.stdout.splitlines()[-1] == "0 posted, 1 already there, 1 refused"


def test_a_book_moves_to_another(plant: LedgerPlant, tmp_path: Path) -> None:
    with plant.opened() as book:
        book.post(*(payment(str(key), "a", "b", "1 kr", text=f"part {key}", source="user:anna") for key in range(5)))
    (tmp_path / "other").mkdir()
    other = with_accounts(tmp_path / "other", f"sqlite:///{tmp_path / 'other.db'}")
    for format in ("csv", "json-lines"):
        (tmp_path / format).write_text(plant.run("export", "--format", format).stdout, newline="")
    assert other.lines("import", tmp_path / "csv", "--format", "csv") == ["5 posted, 0 already there, 0 refused"]
    assert other.lines("import", tmp_path / "json-lines", "--format", "json-lines") == [
        "0 posted, 5 already there, 0 refused"
    ]
    both = [each.read("statement", "b", "--limit", 9) for each in (plant, other)]
    assert [each["id"] for each in both[0]] == [each["id"] for each in both[1]]
    assert {each["source"] for each in both[1]} == {"import:user:anna"}


def test_nothing_is_imported_beside_a_gateway_on_sqlite(file_plant: LedgerPlant, tmp_path: Path) -> None:
    file = csv_of(tmp_path, row("1"))
    gateway = DatabaseLock(file_plant.url)
    gateway.acquire()
    refused = file_plant.run("import", file).exception
    assert isinstance(refused, Unavailable)
    assert f"is held by process {os.getpid()}" in str(refused)
    gateway.release()
    assert file_plant.lines("import", file) == ["1 posted, 0 already there, 0 refused"]


def test_payments_are_imported_beside_a_gateway_on_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    plant = with_accounts(tmp_path, postgresql_url)
    gateway = DatabaseLock(postgresql_url, "main")
    gateway.acquire()
    try:
        with plant.opened() as book:
            book.post(payment("1", "a", "b", "1 kr"))
            assert plant.lines("import", csv_of(tmp_path, row("1"))) == ["1 posted, 0 already there, 0 refused"]
            book.post(payment("2", "a", "b", "1 kr"))
            assert book.balance("b").startswith("3.00")
    finally:
        gateway.release()


def test_a_file_with_a_mistake_posts_nothing(file_plant: LedgerPlant, tmp_path: Path) -> None:
    file = csv_of(tmp_path, row("1"), row("-1"))
    wrong = file_plant.run("import", file).exception
    assert isinstance(wrong, Misconfigured)
    assert str(wrong).startswith(f"{file}:3:1: amount: expected digits")
    assert sources(file_plant) == []
    absent = file_plant.run("import", tmp_path / "absent.csv").exception
    assert isinstance(absent, Misconfigured)
    assert str(absent) == f"{tmp_path / 'absent.csv'}: cannot be read: No such file or directory"
    assert file_plant.run("import", tmp_path / "payments.xlsx").exit_code == 2


def test_an_import_makes_neither_a_ledger_nor_a_book(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, f"sqlite:///{tmp_path / 'book.db'}")
    file = csv_of(tmp_path, row("1"))
    missing = plant.run("import", file).exception
    assert isinstance(missing, Misconfigured)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["factory.yaml", "payments.csv"]
    with_accounts(tmp_path, plant.url)
    plant.file.write_text(plant.file.read_text().replace("book: test", "book: tset"))
    unknown = plant.run("import", file).exception
    assert isinstance(unknown, Rejected)
    assert unknown.code == "unknown_book"
    with closing(sqlite3.connect(tmp_path / "book.db")) as database:
        assert database.execute("SELECT name FROM book").fetchall() == [("test",)]


def posted_book(plant: LedgerPlant) -> None:
    with plant.opened() as book:
        book.open(account("giro", "-9 kr", kind=AccountKind.BANK, type=AccountType.ASSET))
        # Eleven at night in UTC is the next day where the plant stands.
        late = replace(payment("1", "a", "b", "1 kr", text="=1+1"), effective_time=Instant(23 * 3600 * SECOND))
        book.post(late, payment("2", "giro", "b", "0.00000001 kr"))
        book.post_linked(payment("3", "b", "a", "1 kr"), payment("4", "a", "giro", "0.5 kr"))


def test_what_is_printed_and_what_is_written_are_the_same(plant: LedgerPlant, tmp_path: Path) -> None:
    posted_book(plant)
    for format, name in {
        "csv": "a.CSV",
        "json-lines": "a.ndjson",
        "hledger": "a.journal",
        "beancount": "a.beancount",
    }.items():
        printed = plant.run("export", "--format", format)
        assert (printed.exit_code, printed.stderr) == (0, "")
        assert plant.lines("export", "--to", tmp_path / name) == [f"{tmp_path / name}: 4 transfers, up to batch 4"]
        assert (tmp_path / name).read_bytes() == printed.stdout_bytes
        assert plant.read("export", "--to", tmp_path / name) == {
            "file": str(tmp_path / name),
            "format": format,
            "transfers": 4,
            "batch": 4,
        }
    assert [line.split(",")[1:4] for line in (tmp_path / "a.CSV").read_text().splitlines()[1:]] == [
        ["a", "b", "1.000000"],
        ["giro", "b", "0.00000001"],
        ["b", "a", "1.000000"],
        ["a", "giro", "0.500000"],
    ]


def test_hledger_agrees_with_every_balance(plant: LedgerPlant, tmp_path: Path, require_program: RequireProgram) -> None:
    hledger = require_program("hledger")
    posted_book(plant)
    journal = tmp_path / "book.journal"
    plant.lines("export", "--to", journal)
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run([hledger, "-f", journal, "check", "--strict"], check=True, env=environment)
    assert "1970-01-02 * (" in journal.read_text()  # in Stockholm
    journal.write_text(journal.read_text().replace("0.49999999 SEK", "0.49999998 SEK"))
    altered = subprocess.run([hledger, "-f", journal, "check"], capture_output=True, env=environment, check=False)
    assert altered.returncode != 0


def test_an_export_that_fails_leaves_the_file_as_it_was(file_plant: LedgerPlant, tmp_path: Path) -> None:
    with file_plant.opened() as book:
        for key in "12":
            book.post(payment(key, "a", "b", "1 kr"))
    file = tmp_path / "book.csv"
    file_plant.lines("export", "--to", file)
    before = file.read_bytes()
    with closing(sqlite3.connect(tmp_path / "book.db")) as database, database:
        database.execute("DELETE FROM seal WHERE seq = 3")
    for arguments in (["--to", file], ["--format", "csv"]):
        broken = file_plant.run("export", *arguments)
        assert isinstance(broken.exception, InvariantBroken)
        assert broken.stdout == ""
    assert file.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_an_export_goes_where_a_file_can_be_and_nowhere_else(file_plant: LedgerPlant, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("nowhere/book.csv", "pipe.csv", "folder.csv"):
        wrong = file_plant.run("export", "--to", tmp_path / name).exception
        assert isinstance(wrong, Misconfigured)
        assert str(wrong).startswith(f"cannot write {tmp_path / name}: ")
    link, target = tmp_path / "link.csv", tmp_path / "target.csv"
    target.write_text("old")
    link.symlink_to(target)
    file_plant.lines("export", "--to", link)
    assert link.is_symlink()
    assert target.read_text().startswith("id,debit")
    for arguments in ([], ["--to", tmp_path / "book.xlsx"], ["--format", "csv", "--json"], ["--format", "sie"]):
        assert file_plant.run("export", *arguments).exit_code == 2
