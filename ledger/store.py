"""The ledger's rows: bulk reads and appends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    func,
    select,
    tuple_,
)

from core.clock import Instant
from core.ids import TransferId
from core.money import Money, currency
from ledger.account import Account, AccountId, AccountKind, Party, PartyId
from ledger.balance import AccountStatus
from ledger.database import insert_rows, placeholder, upsert_rows
from ledger.journal import GENESIS, Seal
from ledger.posting import Standing
from ledger.tables import (
    account_table,
    book_table,
    link_table,
    party_table,
    posting_table,
    seal_table,
    transfer_table,
)
from ledger.transfer import Transfer, TransferRequest

_IDS_PER_SELECT = 500  # SQLite's default bound on parameters is far above; short statements stay cached


@dataclass(frozen=True, slots=True)
class BookHead:
    """Where a book stands: its number, its last batch and that batch's hash, and all its transfers counted."""

    book: int
    seq: int
    hash: bytes
    transfers: int


@dataclass(frozen=True, slots=True)
class LinkTotal:
    """What one account has paid another since the book was opened."""

    debit: AccountId
    credit: AccountId
    transfers: int
    amount: Money


_FIND_BOOK = select(book_table).where(book_table.c.name == bindparam("name"))


def find_book(connection: Connection, name: str) -> BookHead | None:
    row = connection.execute(_FIND_BOOK, {"name": name}).one_or_none()
    return BookHead(row.book_id, row.seq, row.head_hash, row.transfers) if row else None


def create_book(connection: Connection, name: str) -> BookHead:
    taken = connection.execute(select(func.coalesce(func.max(book_table.c.book_id), 0))).scalar_one()
    head = BookHead(taken + 1, 0, GENESIS, 0)
    insert_rows(connection, book_table, [(head.book, name, head.seq, head.hash, head.transfers)])
    return head


_ADVANCE_BOOK = (
    book_table.update()
    .where(and_(book_table.c.book_id == bindparam("book"), book_table.c.seq == bindparam("before")))
    .values(seq=bindparam("after"), head_hash=bindparam("head"), transfers=book_table.c.transfers + bindparam("posted"))
)


def advance_book(connection: Connection, seal: Seal) -> bool:
    """Move the book on to its next batch; False when somebody else moved it first."""
    values = {
        "book": seal.book,
        "before": seal.seq - 1,
        "after": seal.seq,
        "head": seal.hash,
        "posted": seal.transfers,
    }
    return connection.execute(_ADVANCE_BOOK, values).rowcount == 1


def load_standings(
    connection: Connection, book: int, ids: Iterable[AccountId] | None = None
) -> dict[AccountId, Standing]:
    """The named accounts, or all of the book's."""
    query = select(account_table).where(account_table.c.book_id == book).order_by(account_table.c.account_no)
    rows: Iterable[Row[Any]]
    if ids is None:
        rows = connection.execute(query)
    else:
        rows = _in_chunks(connection, query, account_table.c.account_id, list(ids))
    return {AccountId(row.account_id): _standing(row) for row in rows}


def _standing(row: Row[Any]) -> Standing:
    account = Account(
        AccountId(row.account_id),
        row.name,
        PartyId(row.owner),
        Money(row.floor, currency(row.currency)),
        AccountKind(row.kind),
    )
    return Standing(row.account_no, account, row.total_in, row.total_out)


def last_account_number(connection: Connection, book: int) -> int:
    query = select(func.coalesce(func.max(account_table.c.account_no), 0)).where(account_table.c.book_id == book)
    return int(connection.execute(query).scalar_one())


def load_parties(connection: Connection, book: int) -> dict[PartyId, Party]:
    rows = connection.execute(select(party_table).where(party_table.c.book_id == book))
    return {PartyId(row.party_id): Party(PartyId(row.party_id), row.name, row.organisation) for row in rows}


def save_parties(connection: Connection, book: int, parties: Sequence[Party]) -> None:
    upsert_rows(connection, party_table, [(book, party.id, party.name, party.organisation) for party in parties])


def _transfers_query() -> Select[Any]:
    debit, credit = account_table.alias("debit_account"), account_table.alias("credit_account")
    return (
        select(
            transfer_table,
            seal_table.c.posted_time,
            debit.c.account_id.label("debit_id"),
            credit.c.account_id.label("credit_id"),
            debit.c.currency,
        )
        .join(
            seal_table, and_(seal_table.c.book_id == transfer_table.c.book_id, seal_table.c.seq == transfer_table.c.seq)
        )
        .join(debit, and_(debit.c.book_id == transfer_table.c.book_id, debit.c.account_no == transfer_table.c.debit))
        .join(
            credit, and_(credit.c.book_id == transfer_table.c.book_id, credit.c.account_no == transfer_table.c.credit)
        )
    )


def _transfer(row: Row[Any]) -> Transfer:
    request = TransferRequest(
        id=TransferId(row.transfer_id),
        debit=AccountId(row.debit_id),
        credit=AccountId(row.credit_id),
        amount=Money(row.amount, currency(row.currency)),
        effective_time=Instant(row.effective_time),
        text=row.text,
        reference=row.reference,
        source=row.source,
    )
    return Transfer(request, row.seq, row.position, Instant(row.posted_time))


_TRANSFERS = _transfers_query()


def find_transfers(connection: Connection, book: int, ids: Sequence[TransferId]) -> dict[TransferId, Transfer]:
    """Those of the ids that the book holds: nearly always none, so their presence is asked for before their content."""
    present = [row[0] for row in _probe(connection, book, ids)]
    if not present:
        return {}
    rows = _in_chunks(
        connection, _TRANSFERS.where(transfer_table.c.book_id == book), transfer_table.c.transfer_id, present
    )
    return {TransferId(row.transfer_id): _transfer(row) for row in rows}


def _probe(connection: Connection, book: int, ids: Sequence[TransferId]) -> Iterator[Row[Any]]:
    mark = placeholder(connection.dialect.name)
    for start in range(0, len(ids), _IDS_PER_SELECT):
        chunk = ids[start : start + _IDS_PER_SELECT]
        marks = ", ".join([mark] * len(chunk))
        yield from connection.exec_driver_sql(
            f"SELECT transfer_id FROM transfer WHERE book_id = {int(book)} AND transfer_id IN ({marks})", tuple(chunk)
        )


def load_statuses(connection: Connection, book: int) -> list[AccountStatus]:
    """Every account of the book with its totals and its last transfer, in the order they were opened."""
    rows = connection.execute(
        select(account_table).where(account_table.c.book_id == book).order_by(account_table.c.account_no)
    ).all()
    places = {(row.last_seq, row.last_position) for row in rows if row.last_seq}
    query = _TRANSFERS.where(transfer_table.c.book_id == book)
    place = tuple_(transfer_table.c.seq, transfer_table.c.position)
    last = {(row.seq, row.position): _transfer(row) for row in _in_chunks(connection, query, place, sorted(places))}
    statuses = []
    for row in rows:
        standing = _standing(row)
        of = standing.account.currency
        statuses.append(
            AccountStatus(
                standing.account,
                Money(row.total_in, of),
                Money(row.total_out, of),
                row.last_seq,
                last.get((row.last_seq, row.last_position)),
            )
        )
    return statuses


def load_links(connection: Connection, book: int) -> list[LinkTotal]:
    debit, credit = account_table.alias("debit_account"), account_table.alias("credit_account")
    rows = connection.execute(
        select(link_table, debit.c.account_id, credit.c.account_id.label("credit_id"), debit.c.currency)
        .join(debit, and_(debit.c.book_id == link_table.c.book_id, debit.c.account_no == link_table.c.debit))
        .join(credit, and_(credit.c.book_id == link_table.c.book_id, credit.c.account_no == link_table.c.credit))
        .where(link_table.c.book_id == book)
        .order_by(link_table.c.debit, link_table.c.credit)
    )
    return [
        LinkTotal(
            AccountId(row.account_id),
            AccountId(row.credit_id),
            row.transfers,
            Money(row.amount, currency(row.currency)),
        )
        for row in rows
    ]


def load_statement(
    connection: Connection, book: int, account: AccountId, before: tuple[int, int] | None, limit: int
) -> list[Transfer]:
    """The account's transfers, newest first; `before` is the (seq, position) of the last one already seen."""
    number = select(account_table.c.account_no).where(
        and_(account_table.c.book_id == book, account_table.c.account_id == account)
    )
    row = connection.execute(number).one_or_none()
    if row is None:
        return []
    batches = select(posting_table.c.seq).where(
        and_(posting_table.c.book_id == book, posting_table.c.account_no == row.account_no)
    )
    if before is not None:
        batches = batches.where(posting_table.c.seq <= before[0])
    batches = batches.order_by(posting_table.c.seq.desc()).limit(limit + 1)
    query = (
        _TRANSFERS.where(transfer_table.c.book_id == book)
        .where(transfer_table.c.seq.in_(batches))
        .where((transfer_table.c.debit == row.account_no) | (transfer_table.c.credit == row.account_no))
        .order_by(transfer_table.c.seq.desc(), transfer_table.c.position.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(tuple_(transfer_table.c.seq, transfer_table.c.position) < tuple_(*before))
    return [_transfer(found) for found in connection.execute(query)]


def load_newest(connection: Connection, book: int, limit: int) -> list[Transfer]:
    """The book's last transfers, newest first."""
    query = (
        _TRANSFERS.where(transfer_table.c.book_id == book)
        .order_by(transfer_table.c.seq.desc(), transfer_table.c.position.desc())
        .limit(limit)
    )
    return [_transfer(found) for found in connection.execute(query)]


def append_links(connection: Connection, book: int, totals: Mapping[tuple[int, int], tuple[int, int]]) -> None:
    """Add (transfers, amount) to the running total of each (debit, credit)."""
    rows = [(book, debit, credit, transfers, amount) for (debit, credit), (transfers, amount) in totals.items()]
    upsert_rows(connection, link_table, rows, adding=("transfers", "amount"))


def update_totals(connection: Connection, book: int, rows: Sequence[tuple[int, int, int, int, int]]) -> None:
    """Rows of (total_in, total_out, last_seq, last_position, account_no)."""
    mark = placeholder(connection.dialect.name)
    if rows:
        connection.exec_driver_sql(
            f"UPDATE account SET total_in = {mark}, total_out = {mark}, last_seq = {mark}, last_position = {mark} "
            f"WHERE book_id = {int(book)} AND account_no = {mark}",
            list(rows),
        )


def update_account(connection: Connection, book: int, number: int, account: Account) -> None:
    connection.execute(
        account_table.update()
        .where(and_(account_table.c.book_id == book, account_table.c.account_no == number))
        .values(name=account.name, floor=account.floor.units, kind=account.kind.value)
    )


def read_seals(connection: Connection, book: int) -> Iterator[Seal]:
    rows = connection.execution_options(yield_per=1000).execute(
        select(seal_table).where(seal_table.c.book_id == book).order_by(seal_table.c.seq)
    )
    for row in rows:
        yield Seal(book, row.seq, Instant(row.posted_time), row.transfers, row.events, row.previous, row.hash)


def read_rows(connection: Connection, table: Table, book: int) -> Iterator[Row[Any]]:
    """Every row of a journalled table in the book's order, without holding them all."""
    yield from connection.execution_options(yield_per=1000).execute(
        select(table).where(table.c.book_id == book).order_by(table.c.seq, table.c.position)
    )


def _in_chunks(connection: Connection, query: Select[Any], column: Any, values: Sequence[Any]) -> Iterator[Row[Any]]:
    for start in range(0, len(values), _IDS_PER_SELECT):
        yield from connection.execute(query.where(column.in_(values[start : start + _IDS_PER_SELECT])))
