"""Books to alter by hand, as somebody might who has the database and perhaps knows how its seals are made."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from ledgers import START, Book, account, capture, hold, payment

from core.clock import SECOND, Instant
from core.ids import derived_id
from ledger import journal
from ledger.account import AccountKind
from ledger.batch import Batch
from ledger.database import open_engine, reading
from ledger.store import find_book
from ledger.transfer import Refused
from ledger.verification import ExpectedHead, Verification, verify

DAY = 24 * 3600 * SECOND


def write_everything(book: Book) -> None:
    """A book in which every table has rows: holds in every state, linked transfers, a reversal, a lock, a refusal."""
    trading = {"kind": AccountKind.TRADING}
    book.open(
        account("a", "-50 kr", cost_centre="100", labels={"line": "1"}),
        account("b"),
        account("sek", "-100 kr", **trading),
        account("eur", "-100 EUR", **trading),
        account("c", "0 EUR"),
    )
    book.post(
        payment("1", "a", "b", "3 kr", text="rent", reference="7", source="user:anna"), payment("2", "b", "a", "1 kr")
    )
    book.place(hold("open", "a", "b", "5 kr", Instant(START + 90 * DAY), text="x", reference="y", source="z"))
    book.place(hold("captured", "a", "b", "2 kr"))
    book.place(hold("released", "b", "a", "1 kr"))
    book.place(hold("expired", "b", "a", "1 kr", Instant(START + SECOND)))
    book.capture(capture("c1", "open", "1 kr"))
    book.capture(capture("c2", "captured", "1 kr", is_last=True))
    book.release("released")
    book.clock.advance(2 * SECOND)
    book.post_linked(payment("l1", "a", "sek", "11 kr"), payment("l2", "eur", "c", "1 EUR"))
    book.reverse("r", derived_id("2"))

    def refuse(batch: Batch) -> None:
        (refused,) = batch.post([payment("3", "a", "b", "1000 kr")])
        assert isinstance(refused, Refused)
        batch.record_refusal(refused)

    book.work(refuse)
    book.work(lambda batch: batch.lock_period(Instant(900)))
    book.change("a", name="Ångpanna")
    book.clock.advance(40 * DAY)
    book.post(payment("4", "a", "b", "2 kr"))
    book.add_up()


def alter(path: Path, statements: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"PRAGMA ignore_check_constraints = ON; {statements}")
    connection.close()


def seal_again(path: Path) -> None:
    """What somebody does who knows how the chain is made: every leaf and seal anew, from what the rows say now."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    accounts = {}
    previous = journal.GENESIS
    seals = connection.execute("SELECT seq, posted_time FROM seal ORDER BY seq").fetchall()
    for seq, time in seals:
        events = connection.execute("SELECT * FROM event WHERE seq = ?", (seq,)).fetchall()
        transfers = connection.execute("SELECT * FROM transfer WHERE seq = ?", (seq,)).fetchall()
        leaves = []
        for row in sorted((*events, *transfers), key=lambda row: int(row["position"])):
            if "event" in row.keys():  # noqa: SIM118  a Row yields its values
                if row["event"] == "opened":
                    opened = json.loads(row["content"])
                    accounts[row["account_no"]] = (opened["account"], opened["currency"])
                leaves.append(journal.leaf(journal.event_form(row["account_no"], row["event"], row["content"])))
                continue
            (debit, currency), (credit, _) = accounts[row["debit"]], accounts[row["credit"]]
            texts = (debit, credit, currency, row["text"], row["reference"], row["source"])
            numbers = (row["amount"], row["effective_time"], row["kind"])
            leaves.append(journal.leaf(journal.transfer_form(row["transfer_id"], row["cause"], *numbers, texts)))
        whole = b"".join(leaves)
        seal = journal.seal(1, seq, Instant(time), previous, whole, len(transfers), len(events))
        connection.execute(
            "UPDATE seal SET previous = ?, hash = ?, leaves = ?, transfers = ?, events = ? WHERE seq = ?",
            (previous, seal.hash, whole, seal.transfers, seal.events, seq),
        )
        previous = seal.hash
    connection.execute("UPDATE book SET head_hash = ?, transfers = (SELECT count(*) FROM transfer)", (previous,))
    connection.execute("DELETE FROM transfer_key")
    connection.execute("INSERT OR IGNORE INTO transfer_key SELECT book_id, transfer_id, seq, position FROM transfer")
    connection.commit()
    connection.close()


def verified(path: Path, expected: ExpectedHead | None = None) -> Verification:
    with reading(open_engine(f"sqlite:///{path}")) as connection:
        head = find_book(connection, "test")
        assert head is not None
        return verify(connection, head, expected)
