"""`myntverk ledger seal` and `prove`: what is kept elsewhere, and what shows one transfer to somebody else."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from app import wiring
from app.options import DEMO_FILE, DataOption, PlantOption
from config.plant import load_plant
from core.errors import Rejected
from core.ids import TransferId
from ledger.day_seal import to_line
from ledger.proof import to_json

TRANSFER_ID_BYTES = 16


def seal(
    day: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="A day in UTC, such as 2026-11-21.")],
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
) -> None:
    """Print the seal of one day: a line to keep where nobody who can write to the ledger can change it.

    It stands for everything that was posted on that day; proofs lead up to it.
    """
    print(to_line(wiring.reader(load_plant(plant), data).day_seal(day.date())))


def prove(
    transfer: Annotated[str, typer.Argument(help="A transfer's id, 32 hexadecimal digits.")],
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    to: Annotated[Path | None, typer.Option(help="The file to write; printed when not given.")] = None,
) -> None:
    """Write a proof that the ledger holds a transfer, for somebody who has that day's seal and no database.

    It is checked with scripts/check_proof.py, which needs nothing but Python.
    """
    try:
        id = bytes.fromhex(transfer)
    except ValueError:
        id = b""
    if len(id) != TRANSFER_ID_BYTES:
        raise typer.BadParameter(f"expected 32 hexadecimal digits, got {transfer!r}", param_hint="TRANSFER")
    proof = to_json(wiring.reader(load_plant(plant), data).prove(TransferId(id)))
    if to is None:
        print(proof.decode(), end="")
        return
    try:
        to.write_bytes(proof)
    except OSError as error:
        raise Rejected("cannot_write", f"{to}: {error.strerror}") from None
