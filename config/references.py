"""What must fit across sections: owners, accounts, meters and prices; pure but for the price files."""

from __future__ import annotations

from config.findings import Findings
from config.meters import build_meter
from config.sections import PlantSettings
from config.wording import shown
from core.errors import Misconfigured, Rejected
from core.money import Currency, Money
from core.quantity import Unit, parse_unit
from core.sample import TagId
from ledger.account import Account, AccountId, AccountKind
from ledger.settings import AccountSettings
from settlement.meter import Meter
from settlement.prices import PriceSeries, load_price_csv
from settlement.settings import METERS


def check_accounts(findings: Findings, settings: PlantSettings) -> dict[AccountId, Account]:
    """Accounts whose owner and machine exist, in their currency."""
    for name in findings.document.entries(("accounts",)):
        findings.refers(("accounts", name, "owner"), ("parties",), "party")
        findings.refers(("accounts", name, "machine"), ("machines",), "machine")
    accounts = {}
    for name, account in settings.accounts.items():
        currency = account_currency(account, settings.plant.currency)
        if account.floor is not None and account.floor.currency != currency:
            text = f"the floor is in {account.floor.currency}, the account in {currency}"
            findings.add(text, ("accounts", name, "floor"))
        floor = Money.zero(currency) if account.floor is None else account.floor
        kind = AccountKind.PARTY if account.machine is None else AccountKind.MACHINE
        accounts[AccountId(name)] = Account(AccountId(name), account.name, account.owner, floor, kind)
    return accounts


def account_currency(account: AccountSettings, of_plant: Currency) -> Currency:
    """Its own, else its floor's, else the plant's."""
    if account.currency is not None:
        return account.currency
    return of_plant if account.floor is None else account.floor.currency


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
