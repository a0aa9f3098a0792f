"""`myntverk ledger …`, what only reads: beside a running Myntverk, each command in one snapshot of the book."""

from __future__ import annotations

import sys
from datetime import date
from typing import Annotated

import typer

from app import wiring
from app.ledger_days import begin_of, end_of, whole_hour
from app.ledger_forms import (
    amount_json,
    cursor_of,
    hold_json,
    hold_line,
    refusal_json,
    refusal_line,
    status_json,
    status_line,
    transfer_json,
    transfer_line,
)
from app.options import (
    DEMO_FILE,
    AsJson,
    Cursor,
    DataOption,
    PlantOption,
    parse_cursor,
    parse_day,
    parse_time,
    print_json,
)
from config.plant import load_plant
from core.clock import EPOCH, Instant
from core.money import Money
from ledger.account import AccountId
from ledger.balance import AccountStatus
from ledger.hold import Hold
from ledger.operations import STATEMENT_PAGE_MAX
from ledger.transfer import TIME_END

REFUSALS_MAX = 10_000


def accounts(
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    at: Annotated[
        Instant | None,
        typer.Option(
            "--at", parser=parse_time, metavar="TIME", help="As they were then, such as 2026-11-22T15:04:05Z."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Every account: what it is for, what it holds, what of that is held, and its limits."""
    reader = wiring.reader(load_plant(plant), data)
    if at is None:
        statuses = reader.overview().statuses
    else:
        with reader.history() as history:
            statuses = history.statuses_at(at)
    if as_json:
        print_json([status_json(status) for status in statuses])
        return
    for status in statuses:
        print(status_line(status))


def statement(
    account: Annotated[str, typer.Argument(help="An account's id, such as agv-7.")],
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    limit: Annotated[int, typer.Option(min=1, max=STATEMENT_PAGE_MAX, help="How many transfers, newest first.")] = 20,
    before: Annotated[
        Cursor | None,
        typer.Option(parser=parse_cursor, metavar="CURSOR", help="Go on where a page ended, with what it ends with."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """An account's transfers, newest first, page by page.

    Where there are more, the cursor of the page's last transfer is told on standard error; the page that follows it is
    the same at any later time. In JSON each transfer has its cursor.
    """
    reader, id = wiring.reader(load_plant(plant), data), AccountId(account)
    transfers = reader.statement(id, limit, before)
    if as_json:
        print_json([transfer_json(transfer) for transfer in transfers])
        return
    for transfer in transfers:
        print(transfer_line(transfer, id))
    last = cursor_of(transfers[-1]) if len(transfers) == limit else None
    if last is not None and reader.statement(id, 1, last):
        print(f"more: --before {last}", file=sys.stderr)


def totals(
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    first: Annotated[
        date | None,
        typer.Option("--from", parser=parse_day, metavar="DAY", help="Of work done on this day or later."),
    ] = None,
    last: Annotated[
        date | None,
        typer.Option("--to", parser=parse_day, metavar="DAY", help="Of work done on this day or earlier."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What each account has paid each other, in all or for the work of some days; and the trial balance as it is now.

    Days are those of the plant's time zone.
    """
    if first is not None and last is not None and last < first:
        raise typer.BadParameter(f"expected {first} or later, got {last}", param_hint="--to")
    found = load_plant(plant)
    reader = wiring.reader(found, data)
    overview = reader.overview()
    links = overview.links
    if first is not None or last is not None:
        begin = EPOCH if first is None else whole_hour(begin_of(first, found.zone), found.zone)
        end = TIME_END if last is None else whole_hour(end_of(last, found.zone), found.zone)
        links = reader.links_between(begin, end)
    trial = _trial_balance(overview.statuses)
    if as_json:
        print_json(
            {
                "from": None if first is None else str(first),
                "to": None if last is None else str(last),
                "links": [
                    {
                        "payer": link.debit,
                        "payee": link.credit,
                        "transfers": link.transfers,
                        **amount_json(link.amount),
                    }
                    for link in links
                ],
                "debit_balances": {code: debit.plain() for code, (debit, _) in trial.items()},
                "credit_balances": {code: credit.plain() for code, (_, credit) in trial.items()},
                "trial_balance": {code: (credit - debit).plain() for code, (debit, credit) in trial.items()},
            }
        )
        return
    for link in links:
        print(f"{link.debit:<20} {link.credit:<20} {link.transfers:>12} {link.amount!s:>24}")
    for debit, credit in trial.values():
        print(f"debit balances {debit}, credit balances {credit}: they differ by {credit - debit}")


def _trial_balance(statuses: list[AccountStatus]) -> dict[str, tuple[Money, Money]]:
    """By currency what accounts owe and what they have."""
    trial: dict[str, tuple[Money, Money]] = {}
    for status in statuses:
        zero = Money.zero(status.account.currency)
        debit, credit = trial.get(zero.currency.code, (zero, zero))
        if status.balance < zero:
            debit -= status.balance
        else:
            credit += status.balance
        trial[zero.currency.code] = debit, credit
    return trial


def holds(plant: PlantOption = DEMO_FILE, data: DataOption = None, as_json: AsJson = False) -> None:
    """Reserved money: every open hold with what is left of it, the next to expire first."""
    reader = wiring.reader(load_plant(plant), data)
    found: list[Hold] = []
    while page := reader.open_holds(after=found[-1] if found else None):
        found += page
    if as_json:
        print_json([hold_json(hold) for hold in found])
        return
    for hold in found:
        print(hold_line(hold))


def refusals(
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
    account: Annotated[str | None, typer.Option(help="Only those that this account should have paid.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=REFUSALS_MAX, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The last payments that were refused, with the reason."""
    with wiring.reader(load_plant(plant), data).history() as history:
        found = history.refusals(limit, None if account is None else AccountId(account))
    if as_json:
        print_json([refusal_json(refusal) for refusal in found])
        return
    for refusal in found:
        print(refusal_line(refusal))
