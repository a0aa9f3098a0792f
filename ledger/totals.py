"""Totals per link, for ever and per hour: added up behind the journal, a stretch of batches at a time.

A batch of five thousand transfers touches nearly as many links, so counting each as it is posted would cost as much
as posting it. Instead a cursor in the book's row follows the journal; readers add what stands behind the cursor.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.clock import SECOND, Instant
from core.money import Money, currency
from ledger.account import AccountId
from ledger.database import Connection
from ledger.statements import run

HOUR = 3600 * SECOND
"""Microseconds in an hour."""


@dataclass(frozen=True, slots=True)
class LinkTotal:
    """What one account has paid another."""

    debit: AccountId
    credit: AccountId
    transfers: int
    amount: Money


def add_up(connection: Connection, book: int, after: int, transfers: int) -> int:
    """Move the totals on from batch `after` by so many transfers, rounded up to whole batches; how many it were."""
    until, added = after, 0
    text = "SELECT seq, transfers FROM seal WHERE book_id = ? AND seq > ? AND transfers > 0 ORDER BY seq LIMIT ?"
    for seq, count in run(connection, text, (book, after, transfers)):
        until, added = seq, added + count
        if added >= transfers:
            break
    if until == after:
        return 0
    sums = "count(*), CAST(sum(amount) AS BIGINT) FROM transfer WHERE book_id = ? AND seq > ? AND seq <= ?"
    adding = "transfers = {0}.transfers + excluded.transfers, amount = {0}.amount + excluded.amount"
    run(
        connection,
        f"INSERT INTO link (book_id, debit, credit, transfers, amount) SELECT book_id, debit, credit, {sums} "
        f"GROUP BY book_id, debit, credit ON CONFLICT (book_id, debit, credit) DO UPDATE SET {adding.format('link')}",
        (book, after, until),
    )
    run(
        connection,
        "INSERT INTO link_hour (book_id, hour, debit, credit, transfers, amount) "
        f"SELECT book_id, effective_time / {HOUR}, debit, credit, {sums} "
        f"GROUP BY book_id, effective_time / {HOUR}, debit, credit "
        f"ON CONFLICT (book_id, hour, debit, credit) DO UPDATE SET {adding.format('link_hour')}",
        (book, after, until),
    )
    run(connection, "UPDATE book SET totalled_seq = ? WHERE book_id = ? AND totalled_seq = ?", (until, book, after))
    return added


def waiting(connection: Connection, book: int, after: int) -> int:
    """How many transfers stand behind the cursor."""
    text = "SELECT coalesce(sum(transfers), 0) FROM seal WHERE book_id = ? AND seq > ?"
    return int(run(connection, text, (book, after)).fetchone()[0])


def load_links(connection: Connection, book: int, after: int) -> list[LinkTotal]:
    """Every link's total since the book was opened, in the order the accounts were opened."""
    return _totals(
        connection,
        "SELECT debit, credit, transfers, amount FROM link WHERE book_id = ? UNION ALL "
        "SELECT debit, credit, 1, amount FROM transfer WHERE book_id = ? AND seq > ?",
        (book, book, after),
        book,
    )


def load_links_between(connection: Connection, book: int, after: int, begin: Instant, end: Instant) -> list[LinkTotal]:
    """Every link's total of what was done from `begin` to before `end`, whole hours, by effective time."""
    first, last = begin // HOUR, end // HOUR
    return _totals(
        connection,
        "SELECT debit, credit, transfers, amount FROM link_hour WHERE book_id = ? AND hour >= ? AND hour < ? UNION ALL "
        "SELECT debit, credit, 1, amount FROM transfer WHERE book_id = ? AND seq > ? "
        f"AND effective_time >= {int(first * HOUR)} AND effective_time < {int(last * HOUR)}",
        (book, first, last, book, after),
        book,
    )


def _totals(connection: Connection, parts: str, values: tuple[int, ...], book: int) -> list[LinkTotal]:
    rows = run(
        connection,
        "SELECT d.account_id, c.account_id, CAST(sum(t.transfers) AS BIGINT), CAST(sum(t.amount) AS BIGINT), "
        "d.currency "
        f"FROM ({parts}) AS t "
        "JOIN account d ON d.book_id = ? AND d.account_no = t.debit "
        "JOIN account c ON c.book_id = ? AND c.account_no = t.credit "
        "GROUP BY t.debit, t.credit, d.account_id, c.account_id, d.currency ORDER BY t.debit, t.credit",
        (*values, book, book),
    )
    return [
        LinkTotal(AccountId(debit), AccountId(credit), transfers, Money(amount, currency(code)))
        for debit, credit, transfers, amount, code in rows
    ]
