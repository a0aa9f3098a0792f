"""`myntverk ledger …`, what writes by hand: locks a period, reverses a transfer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from app import wiring
from app.ledger_days import end_of, last_day_before, to_local_text
from app.ledger_forms import transfer_json
from app.options import DEMO_FILE, AsJson, DataOption, PlantOption, parse_day, parse_transfer_id, print_json
from config.plant import Plant, load_plant
from core.clock import EPOCH, Instant, SystemClock, to_text
from core.errors import Rejected
from core.ids import TransferId, derived_id
from ledger.batch import Batch
from ledger.database import Engine, sqlite_path
from ledger.database_lock import DatabaseLock
from ledger.transfer import AlreadyPosted, Outcome, Refused
from ledger.writer import Work, Writer
from migrations import upgrade

REVERSAL_SOURCE = "command:reverse"


@contextmanager
def book_engine(plant: Plant, data: Path | None) -> Iterator[Engine]:
    """The database of a book that there is, to write to. On SQLite no gateway may run meanwhile (Unavailable); on
    PostgreSQL it may, for what is written here needs no meter."""
    reader = wiring.reader(plant, data)
    url = wiring.ledger_url(plant, data)
    lock = DatabaseLock(url) if sqlite_path(url) is not None else None
    if lock is not None:
        lock.acquire()
    engine = wiring.open_ledger(plant, data, url)
    try:
        upgrade(engine)
        with reader.history():
            pass  # Rejected when the book is not there: a writer would make it
        yield engine
    finally:
        engine.dispose()
        if lock is not None:
            lock.release()


@contextmanager
def book_writer(plant: Plant, data: Path | None) -> Iterator[Writer]:
    """The writer of a book that there is; errors as of `book_engine`."""
    with book_engine(plant, data) as engine:
        writer = Writer(engine, plant.ledger.book, SystemClock())
        writer.start()
        try:
            yield writer
        finally:
            writer.stop()


def lock(
    through: Annotated[
        date | None,
        typer.Option(parser=parse_day, metavar="DAY", help="Lock everything up to and with this day; it must be over."),
    ] = None,
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    as_json: AsJson = False,
) -> None:
    """Close the books: nothing is posted any more for work of that day, in the plant's time zone, or earlier.

    It cannot be taken back; what turns out wrong is corrected in an open period. Without --through: what is locked now.
    """
    found = load_plant(plant)
    if through is None:
        locked_until = wiring.reader(found, data).overview().head.locked_until
    else:
        until = end_of(through, found.zone)
        with book_writer(found, data) as writer:
            locked_until = writer.submit(_lock(until, through, found.zone)).result()
    is_locked = locked_until > EPOCH
    day = str(last_day_before(locked_until, found.zone)) if is_locked else None
    if as_json:
        print_json({"locked_through": day, "locked_until": to_text(locked_until) if is_locked else None})
    elif is_locked:
        print(f"locked through {day}: nothing is posted for a time before {to_local_text(locked_until, found.zone)}")
    else:
        print("nothing is locked")


def _lock(until: Instant, day: date, zone: ZoneInfo) -> Work[Instant]:
    def work(batch: Batch) -> Instant:
        if until > batch.posted_time:
            text = f"{day} is over at {to_local_text(until, zone)}; a lock cannot be taken back, so lock it then"
            raise Rejected("period_is_not_over", text)
        if until != batch.locked_until:  # asked again it is locked already
            batch.lock_period(until)
        return batch.locked_until

    return work


def reverse(
    transfer: Annotated[
        TransferId, typer.Argument(parser=parse_transfer_id, metavar="TRANSFER", help="A transfer's id, as shown.")
    ],
    text: Annotated[str, typer.Option(metavar="WHY", help="Why; it stands in both accounts' statements.")],
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    as_json: AsJson = False,
) -> None:
    """Undo a transfer by a new one that names it. Asked again with the same words nothing moves twice. Exit code 1 when
    it is refused."""
    if not text.strip():
        raise typer.BadParameter("expected a reason", param_hint="--text")
    found = load_plant(plant)
    id = derived_id("reversal", found.ledger.book, transfer.hex(), text)
    with book_writer(found, data) as writer:
        outcome: Outcome = writer.submit(
            lambda batch: batch.reverse(id, transfer, batch.posted_time, text, REVERSAL_SOURCE)
        ).result()
    if isinstance(outcome, Refused):
        if as_json:
            print_json({"outcome": "refused", "reason": outcome.reason.value, "why": outcome.text})
        else:
            print(f"refused: {outcome.reason}: {outcome.text}")
        raise typer.Exit(1)
    posted, word = outcome.transfer, "already posted" if isinstance(outcome, AlreadyPosted) else "posted"
    if as_json:
        print_json({"outcome": word, "transfer": transfer_json(posted)})
    else:
        request = posted.request
        print(f"{word}: {request.amount} from {request.debit} to {request.credit}  {posted.id.hex()}")
