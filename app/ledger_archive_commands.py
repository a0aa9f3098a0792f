"""`myntverk ledger archive` and `verify-archive`: old months into a file, and whether such a file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app import wiring
from app.ledger_writing_commands import book_engine
from app.options import DEMO_FILE, AsJson, DataOption, PlantOption, parse_month, print_json
from config.plant import load_plant
from ledger import archiving
from ledger.archive_file import month_text
from ledger.archive_verification import verify_file


def archive(
    until: Annotated[
        int,
        typer.Option(
            parser=parse_month, metavar="MONTH", help="The last month to archive, such as 2026-03, in UTC; it is over."
        ),
    ],
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    as_json: AsJson = False,
) -> None:
    """Move every transfer of that month and of earlier ones out of the database, into one file.

    Nothing is answered differently as long as the file stays in its folder. Balances, ids and the hash chain stay in
    the database. The file is verified by itself before the database forgets a row.
    """
    found = load_plant(plant)
    with book_engine(found, data) as engine:
        try:
            made = archiving.archive(engine, found.ledger.book, until)
        finally:  # what an earlier archive left may be free by now
            dropped = archiving.drop_emptied_months(engine)
    file = wiring.archive_folder(found, data) / made.file
    if as_json:
        print_json(
            {
                "file": str(file),
                "sha256": made.sha256.hex(),
                "first_month": month_text(made.first_month),
                "last_month": month_text(made.last_month),
                "first_batch": made.first_seq,
                "last_batch": made.last_seq,
                "transfers": made.transfers,
                "dropped_partitions": [month_text(month) for month in dropped],
            }
        )
        return
    span = f"batches {made.first_seq} to {made.last_seq}"
    print(f"{file}: {made.transfers} transfers in {span}")
    print(f"sha256 {made.sha256.hex()}")


def verify_archive(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive; nothing else is needed.")],
    as_json: AsJson = False,
) -> None:
    """Recompute an archive by itself: its part of the hash chain, each entry, and every balance it leads to. Exit code
    1 when one was altered.

    It prints the hash before its first batch and that of its last one: the chain of the book goes through both.
    """
    found = verify_file(file)
    held = found.description
    if as_json:
        print_json(
            {
                "verified": found.verified,
                "book": held.book,
                "first_month": month_text(held.first_month),
                "last_month": month_text(held.last_month),
                "first_batch": held.first_seq,
                "last_batch": held.last_seq,
                "transfers": held.transfers,
                "hash_before": held.previous.hex(),
                "head_hash": held.hash.hex(),
                "faults": list(found.faults),
            }
        )
    else:
        for fault in found.faults:
            print(fault)
        word = "verified" if found.verified else "NOT verified"
        months = f"{month_text(held.first_month)} to {month_text(held.last_month)}"
        print(f"{word}: {held.transfers} transfers of book {held.book}, {months}")
        print(f"after {held.previous.hex()}@{held.first_seq - 1}")
        print(f"head {held.hash.hex()}@{held.last_seq}")
    if not found.verified:
        raise typer.Exit(1)
