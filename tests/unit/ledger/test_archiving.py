"""Old months leave the database for a file: everything is answered as before, and what is altered is found."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from archives import DAY, answers, archiving_book, write_months
from ledgers import START, Book, account, hold, open_book, payment
from paying_books import open_books
from sqlalchemy import Column, LargeBinary, Text, text
from sqlalchemy.exc import IntegrityError

from core.clock import Instant, ManualClock
from core.errors import Misconfigured, Rejected
from core.ids import derived_id
from core.money import Money
from ledger.account import AccountId
from ledger.archive_verification import verify_file
from ledger.archived import keep_in
from ledger.archiving import archive, drop_emptied_months
from ledger.database import metadata, open_file, reading
from ledger.holds import CaptureRequest, capture, release
from ledger.journal_rows import read_transfers
from ledger.operations import Reader
from ledger.store import find_book
from ledger.transfer import AlreadyPosted, Posted, Reason, Refused
from ledger.transfer_rows import load_newest
from ledger.verification import verify
from ledger.writer import Posting
from migrations import upgrade

FIRST = "test-2023-11--2023-12.sqlite"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def book(database_url: str, folder: Path) -> Iterator[Book]:
    with archiving_book(database_url, folder) as book:
        write_months(book)
        yield book


def rows(book: Book, table: str) -> int:
    with reading(book.engine) as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def alter(file: Path, statements: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.executescript(statements)


def test_everything_is_answered_as_before(book: Book, folder: Path) -> None:
    before, transfers = answers(book), rows(book, "transfer")
    made = archive(book.engine, "test", 202312)
    assert (made.file, made.first_seq, made.first_month, made.last_month) == (FIRST, 1, 202311, 202312)
    assert rows(book, "transfer") == transfers - made.transfers < transfers
    assert answers(book) == before
    assert book.reader.verify().faults == ()
    assert book.reader.verify().transfers == transfers
    assert [each.name for each in folder.iterdir()] == [FIRST]


def test_a_second_archive_continues_the_first(book: Book, folder: Path) -> None:
    before = answers(book)
    first = archive(book.engine, "test", 202311)
    second = archive(book.engine, "test", 202401)
    assert (second.first_seq, second.first_month, second.last_month) == (first.last_seq + 1, 202312, 202401)
    assert answers(book) == before
    assert book.reader.verify().faults == ()
    one, other = (verify_file(folder / each.file) for each in (first, second))
    assert (one.faults, other.faults) == ((), ())
    assert one.description.hash == other.description.previous


def test_what_is_not_over_or_archived_already_is_refused(book: Book) -> None:
    with pytest.raises(Rejected, match="the book's last batch is of 2024-02") as refused:
        archive(book.engine, "test", 202402)
    assert refused.value.code == "month_is_open"
    with pytest.raises(Rejected, match="nothing_to_archive"):
        archive(book.engine, "test", 202310)
    archive(book.engine, "test", 202312)
    with pytest.raises(Rejected, match="all that was posted up to 2023-12 is archived already"):
        archive(book.engine, "test", 202312)
    with pytest.raises(Rejected, match="unknown_book"):
        archive(book.engine, "other", 202312)


def test_an_archived_id_is_never_posted_again(book: Book) -> None:
    asked = payment("first 1", "a", "b", "2 kr", text="rent")
    was = book.reader.find(derived_id("first 1"))
    archive(book.engine, "test", 202312)
    (again,) = book.post(asked)
    assert isinstance(again, AlreadyPosted)
    assert again.transfer == was
    (other,) = book.post(payment("first 1", "a", "b", "3 kr"))
    assert isinstance(other, Refused)
    assert other.reason is Reason.CONFLICT


def test_an_archived_transfer_is_reversed_once(book: Book) -> None:
    archive(book.engine, "test", 202312)
    undone = book.reverse("r1", derived_id("to undo"))
    assert isinstance(undone, Posted)
    assert undone.transfer.request.amount == Money.parse("1 kr")
    again = book.reverse("r2", derived_id("to undo"))
    assert isinstance(again, Refused)
    assert again.reason is Reason.ALREADY_REVERSED
    assert book.reader.verify().faults == ()


def test_what_was_posted_goes_on_after_archiving(book: Book) -> None:
    archive(book.engine, "test", 202401)
    book.post(payment("later", "a", "b", "1 kr"))
    book.add_up()
    assert book.reader.verify().faults == ()
    newest = book.reader.overview().newest
    assert [each.id for each in newest][:2] == [derived_id("later"), derived_id("february")]
    assert len(newest) == 10


def test_a_reader_is_told_which_file_is_missing_and_where(book: Book, folder: Path) -> None:
    archive(book.engine, "test", 202312)
    (folder / FIRST).rename(folder / "elsewhere")
    for ask in (
        lambda: book.reader.find(derived_id("first 1")),
        lambda: book.reader.statement(AccountId("a")),
        lambda: book.reader.prove(derived_id("first 1")),
    ):
        with pytest.raises(Rejected) as missing:
            ask()
        assert missing.value.code == "archive_is_missing"
        assert f"2023-11 to 2023-12 are in {FIRST}, which is not in {folder}" in missing.value.text
    assert book.reader.statement(AccountId("a"), 2)[0].id == derived_id("january 2")
    assert book.status("c").balance == Money.parse("1 EUR")
    assert (book.status("c").last_transfer, book.status("late").last_transfer is None) == (None, False)


def test_a_missing_archive_disturbs_only_who_asks_for_it(book: Book, folder: Path) -> None:
    archive(book.engine, "test", 202312)
    shutil.rmtree(folder)
    again, new = book.together(
        lambda batch: batch.post([payment("first 1", "a", "b", "2 kr", text="rent")]),
        lambda batch: list(batch.post([payment("new", "a", "b", "1 kr")])),
    )
    assert isinstance(again, Rejected)
    assert isinstance(new[0], Posted)


def test_a_missing_archive_is_a_fault_unless_it_is_asked_for_without(book: Book, folder: Path) -> None:
    archive(book.engine, "test", 202312)
    whole = book.reader.verify()
    (folder / FIRST).unlink()
    (fault,) = book.reader.verify().faults
    assert FIRST in fault
    assert str(folder) in fault
    found = book.reader.verify(without_archives=True)
    assert found.faults == ()
    assert (found.transfers, found.trial_balance, found.head_hash) == (
        whole.transfers,
        whole.trial_balance,
        whole.head_hash,
    )
    assert (whole.on_trust, found.on_trust > 0) == (0, True)


@pytest.mark.parametrize("until", [202311, 202312, 202401])
def test_without_archives_the_rest_is_still_compared(book: Book, until: int) -> None:
    made = archive(book.engine, "test", until)
    found = book.reader.verify(without_archives=True)
    assert (found.faults, found.on_trust) == ((), made.last_seq)
    with book.engine.connect() as connection, connection.begin():
        connection.execute(text("UPDATE account SET total_in = total_in + 1 WHERE account_id = 'c'"))
    assert any("c shows" in fault for fault in book.reader.verify(without_archives=True).faults)


def test_a_seal_that_is_left_still_proves_itself(book: Book) -> None:
    archive(book.engine, "test", 202312)
    with book.engine.connect() as connection, connection.begin():
        connection.execute(text("UPDATE seal SET transfers = transfers + 1 WHERE seq = 2"))
    for without in (False, True):
        faults = book.reader.verify(without_archives=without).faults
        assert any("batch 2 was altered" in fault for fault in faults)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE transfer SET amount = amount + 1 WHERE seq = 2 AND position = 3", "transfer {} of batch 2 was"),
        ("UPDATE transfer SET text = 'gift' WHERE seq = 2 AND position = 3", "transfer {} of batch 2 was altered"),
        ("DELETE FROM transfer WHERE seq = 2 AND position = 3", "batch 2 was altered: entry 3 is missing"),
        ("UPDATE seal SET leaves = zeroblob(length(leaves)) WHERE seq = 2", "batch 2 was altered"),
        ("DELETE FROM seal WHERE seq = 2", "batch 2 is missing"),
        ("UPDATE posting SET total_in = total_in + 1 WHERE seq = 3", "its posting of batch 3"),
        ("UPDATE posting SET positions = x'0001' WHERE seq = 2", "its posting of batch 2 does not point"),
        ("DELETE FROM posting WHERE seq = 2", "its posting of batch 2 is missing"),
        ("DELETE FROM transfer_key WHERE seq = 2", "not found by their ids"),
        ("UPDATE event SET content = '{{}}' WHERE seq = 1", "of batch 1 was altered"),
        ("UPDATE account SET account_id = 'x' WHERE account_no = 1", "was altered"),
        ("UPDATE description SET hash = zeroblob(32)", "its seals do not"),
        ("UPDATE description SET previous = randomblob(32)", "batch 1 does not continue"),
        ("UPDATE description SET transfers = transfers + 1", "its seals do not"),
        ("UPDATE description SET last_month = last_month + 1", "does not hold the months"),
    ],
)
def test_what_is_altered_in_an_archive_is_found(tmp_path: Path, folder: Path, statement: str, fault: str) -> None:
    with archiving_book(f"sqlite:///{tmp_path / 'book.db'}", folder) as book:
        write_months(book)
        archive(book.engine, "test", 202312)
        assert verify_file(folder / FIRST).faults == ()
        with sqlite3.connect(folder / FIRST) as connection:
            (id,) = connection.execute("SELECT transfer_id FROM transfer WHERE seq = 2 AND position = 3").fetchone()
        alter(folder / FIRST, statement)
        wanted = fault.format(id.hex())
        assert any(wanted in found for found in verify_file(folder / FIRST).faults)
        faults = book.reader.verify().faults
        assert f"archive {FIRST} was altered: it is not the file that was written" in faults
        if "transfer " in wanted or "entry" in wanted:
            assert any(wanted in found for found in faults)


@pytest.mark.parametrize("damage", ["cut", "garbled", "empty", "text", "another"])
def test_a_damaged_archive_is_a_fault(tmp_path: Path, folder: Path, damage: str) -> None:
    with archiving_book(f"sqlite:///{tmp_path / 'book.db'}", folder) as book:
        write_months(book)
        archive(book.engine, "test", 202311)
        file = folder / archive(book.engine, "test", 202401).file
        content = file.read_bytes()
        file.write_bytes(
            {
                "cut": content[: len(content) // 2],
                "garbled": content[:8192] + bytes(reversed(content[8192:])),
                "empty": b"",
                "text": b"not a database" * 1000,
                "another": (folder / "test-2023-11--2023-11.sqlite").read_bytes(),
            }[damage]
        )
        faults = book.reader.verify().faults
        assert any(file.name in fault for fault in faults)
        with pytest.raises(Rejected):
            book.reader.find(derived_id("january 1"))


def test_an_archive_is_a_book_that_readers_can_open(book: Book, folder: Path) -> None:
    then = book.reader.overview().head
    archive(book.engine, "test", 202312)
    reader = Reader(open_file(folder / FIRST), "test")
    head = reader.overview().head
    assert head.seq < then.seq
    assert reader.find(derived_id("first 1")) == book.reader.find(derived_id("first 1"))
    ids = [each.id for each in reader.statement(AccountId("a"), 100)]
    assert ids == [each.id for each in book.reader.statement(AccountId("a"), 100) if each.seq <= head.seq]
    statuses = {each.account.id: each for each in reader.overview().statuses}
    assert "late" not in statuses
    assert statuses[AccountId("a")].account.name == "A"
    with book.reader.history() as history:
        (balance,) = (
            each.balance for each in history.statuses_at(head.posted_time) if each.account.id == AccountId("a")
        )
    assert statuses[AccountId("a")].balance == balance


def test_a_file_of_that_name_that_holds_something_else_stays(book: Book, folder: Path) -> None:
    folder.mkdir()
    (folder / FIRST).write_text("mine")
    with pytest.raises(Rejected, match="archive_exists"):
        archive(book.engine, "test", 202312)
    assert (folder / FIRST).read_text() == "mine"
    assert book.reader.verify().faults == ()


def test_a_book_that_does_not_prove_itself_is_not_archived(book: Book, folder: Path) -> None:
    with book.engine.connect() as connection, connection.begin():
        connection.execute(text("UPDATE transfer SET amount = amount + 1 WHERE seq = 2"))
    with pytest.raises(Rejected, match="archive_is_wrong"):
        archive(book.engine, "test", 202312)
    assert not (folder / FIRST).exists()
    assert rows(book, "archive") == 0


def test_months_that_nobody_needs_lose_their_partitions(postgresql_url: str, folder: Path) -> None:
    with archiving_book(postgresql_url, folder) as book, open_book(postgresql_url, book.clock, "other") as other:
        write_months(book)
        archive(book.engine, "test", 202401)
        with reading(book.engine) as old:
            assert len(load_newest(old, 1, 100)) > 0
            drop_emptied_months(book.engine)
        drop_emptied_months(book.engine)
        with reading(book.engine) as connection:
            left = connection.execute(text("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'"))
            assert [row.relname for row in left] == ["transfer_202402"]
        assert book.reader.verify().faults == ()
        other.open()


def test_a_snapshot_from_before_sees_every_transfer(book: Book) -> None:
    before = answers(book)["export"]
    with book.reader.history() as history:
        made = archive(book.engine, "test", 202401)
        assert drop_emptied_months(book.engine) == []
        assert sum(1 for _ in history.transfers()) == before.count("\n")
    assert made.transfers > 0
    upgrade(book.engine)


def test_whatever_is_altered_in_the_database_beside_an_archive_is_found(tmp_path: Path, folder: Path) -> None:
    with archiving_book(f"sqlite:///{tmp_path / 'book.db'}", folder) as book:
        write_months(book)
        made = archive(book.engine, "test", 202312)
        unseen = []
        for table in (each for each in metadata.sorted_tables if each.name in BESIDE):
            for column in table.columns:
                with book.engine.connect() as connection, connection.begin() as work:
                    old = "rowid IS NOT NULL" if "seq" not in table.c else f"seq <= {made.last_seq}"
                    changed = _altered(column)
                    one = f"({', '.join(table.primary_key.columns.keys())})"
                    text_ = f"UPDATE {table.name} SET {column.name} = {changed} WHERE {one} IN "
                    try:
                        connection.execute(text(f"{text_}(SELECT {one[1:-1]} FROM {table.name} WHERE {old} LIMIT 1)"))
                        head = find_book(connection, "test")
                        assert head is not None
                        if not verify(connection, head).faults:
                            unseen.append((table.name, column.name))
                    except IntegrityError:
                        pass  # the database does not let it happen
                    work.rollback()
        assert unseen == []


BESIDE = {"archive", "seal", "posting", "event", "reversal", "link", "account"}


def _altered(column: Column[Any]) -> str:
    if isinstance(column.type, LargeBinary):
        return f"x'fe' || substr({column.name}, 2)"
    return f"{column.name} || 'x'" if isinstance(column.type, Text) else f"{column.name} + 1"


def test_books_that_pay_each_other_agree_after_one_of_them_is_archived(database_url: str, folder: Path) -> None:
    clock = ManualClock(START)
    with open_books(database_url, "a", "b", clock=clock) as books:
        for each in books.books.values():
            keep_in(each.engine, folder)
        books["a"].open(account("p", "-100 kr"))
        books["b"].open(account("q"), account("full", ceiling_units=0))
        books.send("a", "b", payment("1", "p", "q", "3 kr"), payment("2", "p", "full", "2 kr"))
        books.deliver_all()
        books.send("a", "b", payment("3", "p", "q", "4 kr"), payment("4", "p", "full", "1 kr"))
        clock.advance(40 * DAY)
        for name, each in books.books.items():
            each.open(account("later"))
            archive(each.engine, name, 202311)
        assert books.reconcile("a", "b").misfit == ""
        assert len(books.reconcile("a", "b").under_way) == 2
        assert books.faults() == {}
        books.deliver_all()
        assert books.reconcile("a", "b").is_settled
        assert books.faults() == {}
        assert [books[name].reader.verify(without_archives=True).faults for name in "ab"] == [(), ()]
        assert books["b"].status("q").balance == Money.parse("7 kr")


def test_an_archive_that_cannot_be_written_is_told_and_nothing_is_lost(postgresql_url: str, folder: Path) -> None:
    with archiving_book(postgresql_url, folder) as book:
        write_months(book)
        (folder / f".{FIRST}.part").mkdir(parents=True)
        with pytest.raises(Misconfigured, match="cannot write in"):
            archive(book.engine, "test", 202312)
        assert rows(book, "archive") == 0


def test_payments_go_on_while_months_are_archived(book: Book) -> None:
    def post(each: int) -> None:
        (outcome,) = book.post(payment(f"meanwhile {each}", "a", "b", "1 kr"))
        assert isinstance(outcome, Posted)

    with ThreadPoolExecutor(1) as others:
        posting = others.map(post, range(100))
        archive(book.engine, "test", 202311)
        archive(book.engine, "test", 202401)
        drop_emptied_months(book.engine)
        assert len(list(posting)) == 100
    assert book.reader.verify().faults == ()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happened_it_is_answered_the_same(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    with archiving_book(f"sqlite:///{tmp_path / 'book.db'}", tmp_path / "kept") as book:
        book.open(account("a", "-500 kr"), account("b", "-50 kr"), account("c"))
        for month in (202311, 202312, 202401, 202402):
            for key in range(chance.randrange(12)):
                something(book, chance, f"{month} {key}")
                book.clock.advance(chance.randrange(DAY // 10))
            book.clock.advance(31 * DAY)
            something(book, chance, f"{month} last")
            if chance.random() < 0.7:
                before = answers(book)
                with suppress(Rejected):  # nothing was posted in it
                    archive(book.engine, "test", month)
                assert answers(book) == before
            assert book.reader.verify().faults == ()
            assert book.reader.verify(without_archives=True).faults == ()


def something(book: Book, chance: Random, key: str) -> None:
    """Any of what can happen in a book."""
    debit, credit = chance.sample("abc", 2)
    amount = f"{chance.randrange(1, 9)} kr"
    past = [each.id for each in book.reader.overview().newest]
    holds = [each.id for each in book.reader.open_holds()]
    kind = chance.randrange(8)
    if kind == 0 and past:
        book.work(lambda batch: batch.reverse(derived_id(key), chance.choice(past), Instant(1_000)))
    elif kind == 1:
        book.place(hold(key, debit, credit, amount, Instant(book.clock.now() + chance.randrange(1, 60) * DAY)))
    elif kind == 2 and holds:
        asked = CaptureRequest(derived_id(key), chance.choice(holds), Instant(1_000), Money.parse("1 kr"))
        book.work(lambda batch: capture(batch, asked))
    elif kind == 3 and holds:
        book.work(lambda batch: release(batch, chance.choice(holds)))
    elif kind == 4:
        book.change(debit, name=key)
    elif kind == 5:
        book.post_linked(payment(f"{key}.1", debit, credit, amount), payment(f"{key}.2", credit, debit, amount))
    else:
        book.post(*(payment(f"{key}.{each}", debit, credit, amount) for each in range(chance.randrange(1, 4))))


def test_postgresql_does_not_cut_off_who_reads_a_long_archive(postgresql_url: str, folder: Path) -> None:
    with archiving_book(postgresql_url, folder) as book:
        write_months(book)
        archive(book.engine, "test", 202312)
        with reading(book.engine) as connection:
            show = text("SHOW idle_in_transaction_session_timeout")
            assert connection.execute(show).scalar_one() == "1h"
            assert next(read_transfers(connection, 1)).seq == 2
            assert connection.execute(show).scalar_one() == "0"


def test_an_archive_that_is_away_stops_only_who_needs_it(database_url: str, folder: Path) -> None:
    with archiving_book(database_url, folder) as book:
        write_months(book)
        archive(book.engine, "test", 202312)
        old = next(each for each in book.reader.statement(AccountId("a"), 1_000) if each.seq <= 3)
        for file in folder.iterdir():
            file.rename(file.with_suffix(".away"))
        new = payment("while it is away", "a", "b", "1 kr")
        again, other = book.together(Posting([old.request]), Posting([new]))
        assert isinstance(again, Rejected)
        assert isinstance(other[0], Posted)


def test_what_was_altered_in_an_archive_is_not_reversed(tmp_path: Path, folder: Path) -> None:
    with archiving_book(tmp_path / "a.db", folder) as book:
        write_months(book)
        archive(book.engine, "test", 202312)
        old = next(each for each in book.reader.statement(AccountId("a"), 1_000) if each.seq <= 3)
        alter(next(folder.iterdir()), f"UPDATE transfer SET amount = amount + 1 WHERE transfer_id = x'{old.id.hex()}'")
        with pytest.raises(Rejected, match="transfer_was_altered"):
            book.reverse("back", old.id)
