"""`myntverk ledger …`: looks into a plant's books, takes them out, and corrects them by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from app import (
    ledger_archive_commands,
    ledger_clearing_commands,
    ledger_exchange_commands,
    ledger_proof_commands,
    ledger_reading_commands,
    ledger_writing_commands,
    wiring,
)
from app.options import DEMO_FILE, AsJson, DataOption, PlantOption, print_json
from config.plant import load_plant
from core.errors import Rejected
from ledger.settings import checked_url
from ledger.verification import ExpectedHead

app = typer.Typer(
    help="Look into a plant's books while it runs, take them out, and correct them by hand.", no_args_is_help=True
)


@app.command()
def verify(
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Another database with this book, such as a copy of it.")
    ] = None,
    expect_head: Annotated[
        str | None,
        typer.Option(
            metavar="HASH[@BATCH]",
            help="What the seal of the last batch, or of batch BATCH, must be: a head that was kept elsewhere.",
        ),
    ] = None,
    without_archives: Annotated[
        bool,
        typer.Option(
            "--without-archives", help="Recompute only the chain of archived months; trust what they lead to."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Recompute the hash chain, every balance and every charge from the first row. Exit code 1 when one was altered.

    A chain whose newest batches were cut off is a shorter chain and verifies. So keep the head that this prints where
    nobody who can write to the ledger can change it, and expect it the next time: --expect-head HASH@BATCH, or
    --expect-head HASH when nothing was posted since.
    """
    try:
        expected = None if expect_head is None else ExpectedHead.parse(expect_head)
    except Rejected as refusal:
        raise typer.BadParameter(refusal.text, param_hint="--expect-head") from None
    try:
        copy = None if url is None else checked_url(url)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from None
    verification = wiring.reader(load_plant(plant), data, copy).verify(expected, without_archives)
    trial = {code: total.plain() for code, total in verification.trial_balance.items()}
    if as_json:
        print_json(
            {
                "verified": verification.verified,
                "batches": verification.batches,
                "transfers": verification.transfers,
                "head_hash": verification.head_hash.hex(),
                "trial_balance": trial,
                "on_trust_up_to_batch": verification.on_trust or None,
                "faults": list(verification.faults),
            }
        )
    else:
        for fault in verification.faults:
            print(fault)
        word = "verified" if verification.verified else "NOT verified"
        count = f"{verification.transfers} transfers in {verification.batches} batches"
        total = ", ".join(f"{amount} {code}" for code, amount in trial.items())
        print(f"{word}: {count}; balances add up to {total}")
        if verification.on_trust:
            print(
                f"on trust: archives were not read; up to batch {verification.on_trust} the chain was recomputed and "
                "nothing else, and charges were not compared"
            )
        print(f"head {verification.head_hash.hex()}@{verification.batches}")
    if not verification.verified:
        raise typer.Exit(1)


for command in (
    ledger_reading_commands.accounts,
    ledger_reading_commands.statement,
    ledger_reading_commands.totals,
    ledger_reading_commands.holds,
    ledger_reading_commands.refusals,
    ledger_exchange_commands.export,
    ledger_writing_commands.lock,
    ledger_writing_commands.reverse,
    ledger_archive_commands.archive,
    ledger_proof_commands.seal,
    ledger_proof_commands.prove,
):
    app.command()(command)
app.command("verify-archive")(ledger_archive_commands.verify_archive)
app.command("import")(ledger_exchange_commands.import_)
app.command("reconcile")(ledger_clearing_commands.reconcile_)
