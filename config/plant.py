"""One file → one plant with everything typed, or every problem at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from config.agreements import check_agreements
from config.findings import Findings
from config.reader import Document, read_file
from config.references import check_accounts, check_books, check_meters, check_prices, check_users
from config.sections import Machine, check_sections
from core.errors import Misconfigured
from core.money import Currency
from core.sample import TagId
from ledger.account import Account, AccountId, Party, PartyId
from ledger.settings import LedgerSettings
from opcua_server.settings import OpcUaServerSettings, UserSettings
from settlement.agreement import Agreement
from settlement.meter import Meter
from settlement.prices import PriceSeries


@dataclass(frozen=True, slots=True)
class Plant:
    """A plant as its file describes it, checked. Relative paths in it are beside the file, in `folder`."""

    folder: Path
    name: str
    zone: ZoneInfo
    currency: Currency
    ledger: LedgerSettings
    parties: Mapping[PartyId, Party]
    accounts: Mapping[AccountId, Account]
    accounts_for_books: Sequence[Account]
    """Through which this book and those that it pays pay each other."""
    machine_of: Mapping[AccountId, str]
    machines: Mapping[str, Machine]
    meters: Mapping[TagId, Meter]
    prices: Mapping[str, PriceSeries]
    agreements: Mapping[str, Agreement]
    opcua: OpcUaServerSettings
    users: Mapping[str, UserSettings]


def load_plant(path: Path) -> Plant:
    """The plant in that file; Misconfigured with everything wrong, in the file's order."""
    return check_plant(read_file(path))


def check_plant(document: Document) -> Plant:
    """The plant in a document that was read; Misconfigured as above."""
    findings = Findings(document)
    if document.root is None:
        raise Misconfigured(findings.problems)
    settings = check_sections(findings)
    accounts = check_accounts(findings, settings)
    accounts_for_books = check_books(findings, settings, accounts)
    meters = check_meters(findings, settings)
    prices, price_units = check_prices(findings, settings)
    agreements = check_agreements(findings, settings, meters, price_units)
    check_users(findings)
    if findings.problems:
        raise Misconfigured(findings.problems)
    return Plant(
        folder=document.folder,
        name=settings.plant.name,
        zone=settings.plant.timezone,
        currency=settings.plant.currency,
        ledger=settings.ledger,
        parties={
            PartyId(id): Party(PartyId(id), party.name, party.organisation) for id, party in settings.parties.items()
        },
        accounts=accounts,
        accounts_for_books=accounts_for_books,
        machine_of={AccountId(id): each.machine for id, each in settings.accounts.items() if each.machine is not None},
        machines=settings.machines,
        meters=meters,
        prices=prices,
        agreements=agreements,
        opcua=settings.opcua,
        users=settings.users,
    )
