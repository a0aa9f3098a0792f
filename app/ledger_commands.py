"""`myntverk ledger …`: reads beside a running Myntverk and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from app import wiring
from app.options import DEMO_FILE, AsJson, DataOption, PlantOption
from config.plant import load_plant
from core.clock import to_text
from core.errors import Rejected
from ledger.account import AccountId
from ledger.operations import Reader
from ledger.transfer import Transfer
from ledger.verification import ExpectedHead

app = typer.Typer(help="Look into a plant's ledger; it may be running meanwhile.", no_args_is_help=True)


@app.command()
def verify(
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    expect_head: Annotated[
        str | None,
        typer.Option(
            metavar="HASH[@BATCH]",
            help="What the seal of the last batch, or of batch BATCH, must be: a head that was kept elsewhere.",
        ),
    ] = None,
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
    verification = _reader(plant, data).verify(expected)
    trial = {code: total.plain() for code, total in verification.trial_balance.items()}
    if as_json:
        _print_json(
            {
                "verified": verification.verified,
                "batches": verification.batches,
                "transfers": verification.transfers,
                "head_hash": verification.head_hash.hex(),
                "trial_balance": trial,
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
        print(f"head {verification.head_hash.hex()}@{verification.batches}")
    if not verification.verified:
        raise typer.Exit(1)


@app.command()
def accounts(plant: PlantOption = DEMO_FILE, data: DataOption = None, as_json: AsJson = False) -> None:
    """Every account with its balance."""
    statuses = _reader(plant, data).overview().statuses
    if as_json:
        _print_json(
            [
                {
                    "id": status.account.id,
                    "name": status.account.name,
                    "owner": status.account.owner,
                    "currency": status.account.currency.code,
                    "balance": status.balance.plain(),
                    "available": status.available.plain(),
                    "total_in": status.total_in.plain(),
                    "total_out": status.total_out.plain(),
                }
                for status in statuses
            ]
        )
        return
    for status in statuses:
        print(
            f"{status.account.id:<20} {status.account.owner:<20} {status.balance!s:>24}  available {status.available}"
        )


@app.command()
def statement(
    account: Annotated[str, typer.Argument(help="An account's id, such as agv-7.")],
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many transfers, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """An account's transfers, newest first."""
    transfers = _reader(plant, data).statement(AccountId(account), limit)
    if as_json:
        _print_json([_transfer_json(transfer) for transfer in transfers])
        return
    for transfer in transfers:
        request = transfer.request
        out = request.debit == account
        amount = -request.amount if out else request.amount
        other = request.credit if out else request.debit
        print(f"{to_text(transfer.posted_time)}  {amount!s:>20}  {other:<20} {request.text}  {transfer.id.hex()}")


def _transfer_json(transfer: Transfer) -> dict[str, Any]:
    request = transfer.request
    return {
        "id": transfer.id.hex(),
        "batch": transfer.seq,
        "position": transfer.position,
        "debit": request.debit,
        "credit": request.credit,
        "amount": request.amount.plain(),
        "currency": request.amount.currency.code,
        "effective_time": to_text(request.effective_time),
        "posted_time": to_text(transfer.posted_time),
        "text": request.text,
        "reference": request.reference,
        "source": request.source,
    }


def _reader(file: Path, data: Path | None) -> Reader:
    return wiring.reader(load_plant(file), data)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))
