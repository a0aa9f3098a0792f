"""What must fit across sections: owners, accounts, meters and prices; pure but for the price files."""

from __future__ import annotations

from collections.abc import Mapping

from config.findings import Findings
from config.meters import build_meter
from config.sections import PlantSettings
from config.wording import shown
from core.errors import Misconfigured, Rejected
from core.money import UNITS_MAX, Currency, Money
from core.quantity import Unit, parse_unit
from core.sample import TagId
from ledger.account import Account, AccountId, AccountKind, no_floor
from ledger.clearing import BOOK_CHARACTERS_MAX, CLEARING, clearing_accounts, unclaimed_id
from ledger.settings import KINDS_OF_MACHINES, KINDS_WITHOUT_FLOOR, AccountSettings
from settlement.meter import Meter
from settlement.prices import PriceSeries, load_price_csv
from settlement.settings import METERS


def check_accounts(findings: Findings, settings: PlantSettings) -> dict[AccountId, Account]:
    """Accounts whose owner and machine exist, in their currency, with limits that their kind may have."""
    for name in findings.document.entries(("accounts",)):
        findings.refers(("accounts", name, "owner"), ("parties",), "party")
        findings.refers(("accounts", name, "machine"), ("machines",), "machine")
    return {
        AccountId(name): _account(findings, AccountId(name), account, settings.plant.currency)
        for name, account in settings.accounts.items()
    }


def _account(findings: Findings, id: AccountId, settings: AccountSettings, of_plant: Currency) -> Account:
    path = ("accounts", id)
    currency = account_currency(settings, of_plant)
    for key, limit in (("floor", settings.floor), ("ceiling", settings.ceiling)):
        if isinstance(limit, Money) and limit.currency != currency:
            findings.add(f"the {key} is in {limit.currency}, the account in {currency}", (*path, key))
    kind = settings.kind or (AccountKind.PARTY if settings.machine is None else AccountKind.MACHINE)
    if kind is AccountKind.CLEARING:
        text = "is a kind of account that the book opens itself, for each book that ledger.pays names"
        findings.add(text, (*path, "kind"))
    if settings.machine is not None and kind not in KINDS_OF_MACHINES:
        text = f"stands beside kind: {kind}; a machine's account is of kind {' or '.join(KINDS_OF_MACHINES)}"
        findings.add(text, (*path, "machine"), at_key=True)
    account = Account(
        id=id,
        name=settings.name,
        owner=settings.owner,
        floor=_floor(settings, kind, currency),
        kind=kind,
        type=settings.type or kind.usual_type,
        ceiling_units=UNITS_MAX if settings.ceiling is None else settings.ceiling.units,
        cost_centre=settings.cost_centre,
        labels=settings.labels,
        state=settings.state,
    )
    if not account.has_floor and kind not in KINDS_WITHOUT_FLOOR:
        text = f"is none for an account of kind {kind}; expected an amount, zero or below such as '-50000 kr'"
        findings.add(f"{text} (only {', '.join(KINDS_WITHOUT_FLOOR)} may have none)", (*path, "floor"))
    return account


def _floor(settings: AccountSettings, kind: AccountKind, currency: Currency) -> Money:
    if isinstance(settings.floor, Money):
        return settings.floor
    is_unlimited = settings.floor == "none" or kind in KINDS_WITHOUT_FLOOR
    return no_floor(currency) if is_unlimited else Money.zero(currency)


def account_currency(account: AccountSettings, of_plant: Currency) -> Currency:
    """Its own, else its floor's, else its ceiling's, else the plant's."""
    if account.currency is not None:
        return account.currency
    limits = (limit.currency for limit in (account.floor, account.ceiling) if isinstance(limit, Money))
    return next(limits, of_plant)


def check_books(findings: Findings, settings: PlantSettings, accounts: Mapping[AccountId, Account]) -> list[Account]:
    """The accounts through which this book and others pay each other; none where it pays no other."""
    ledger = settings.ledger
    if ledger.owner is not None:
        findings.refers(("ledger", "owner"), ("parties",), "party")
    for name in findings.document.entries(("accounts",)):
        if name.startswith(CLEARING):
            text = "is a name for the accounts that the book opens itself, for the books it pays; see ledger.pays"
            findings.add(text, ("accounts", name), at_key=True)
    if not ledger.pays:
        return []
    if ledger.owner is None:
        findings.add("is missing; expected the party whose book this is", ("ledger", "owner"))
    if len(ledger.book) > BOOK_CHARACTERS_MAX:
        findings.add(_too_long(ledger.book), ("ledger", "book"))
    for place, book in enumerate(ledger.pays):
        path = ("ledger", "pays", place)
        if book == ledger.book:
            findings.add("is this book itself; its accounts pay each other without more", path)
        elif book in ledger.pays[:place]:
            findings.add(f"names {book!r} again", path)
        elif len(book) > BOOK_CHARACTERS_MAX:
            findings.add(_too_long(book), path)
    currencies = dict.fromkeys([settings.plant.currency, *(account.currency for account in accounts.values())])
    for id in map(unclaimed_id, currencies):
        if id in accounts:
            text = "is opened by the book itself, for money that came back from another"
            findings.add(text, ("accounts", id), at_key=True)
    if findings.problems or ledger.owner is None:
        return []
    pairs = [(book, of) for of in currencies for book in ledger.pays]
    opened = [account for book, of in pairs for account in clearing_accounts(book, ledger.owner, of)]
    return list({account.id: account for account in opened}.values())


def _too_long(book: str) -> str:
    return f"a book that others pay has a name of {BOOK_CHARACTERS_MAX} characters at most, got {len(book)}"


def check_users(findings: Findings) -> None:
    """Whether the accounts exist that users pay from."""
    for name in findings.document.entries(("users",)):
        path = ("users", name, "pays_from")
        pays_from = findings.document.data(path)
        for position in range(len(pays_from) if isinstance(pays_from, list) else 0):
            findings.refers((*path, position), ("accounts",), "account")


def check_meters(findings: Findings, settings: PlantSettings) -> dict[TagId, Meter]:
    """Every meter that goes with its tag."""
    meters = {}
    for tag, meter in settings.meters.items():
        if tag not in settings.tags:
            continue
        machine, _, name = tag.partition(".")
        key = next(key for key, settings_class in METERS.items() if isinstance(meter, settings_class))
        try:
            meters[tag] = build_meter(tag, settings.tags[tag], meter)
        except Rejected as rejected:
            field = (key, "max_rate") if rejected.code == "unit_mismatch" else (key,)
            findings.add(rejected.text, ("machines", machine, "tags", name, *field))
    return meters


def check_prices(findings: Findings, settings: PlantSettings) -> tuple[dict[str, PriceSeries], dict[str, Unit]]:
    """Every price whose file can be read, and the unit of every price that has one."""
    series: dict[str, PriceSeries] = {}
    units = {}
    for name, price in settings.prices.items():
        try:
            units[name] = parse_unit(price.unit)
        except Rejected as rejected:
            findings.add(rejected.text, ("prices", name, "unit"))
        try:
            series[name] = load_price_csv(findings.document.folder / price.csv, settings.plant.timezone)
        except Misconfigured as wrong:
            for problem in wrong.problems:
                if problem.line:
                    findings.add_elsewhere(problem)
                else:
                    findings.add(f"{shown(str(price.csv))} {problem.message}", ("prices", name, "csv"))
        except ValueError as error:  # a path that no file can have
            findings.add(f"{shown(str(price.csv))}: {error}", ("prices", name, "csv"))
    return series, units
