"""hledger and beancount compute a book's balances anew, and notice a single ledger unit that was moved."""

from __future__ import annotations

import csv
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from core.clock import SECOND, Instant
from core.ids import SeededIds
from core.money import CURRENCIES, SEK, TRANSFER_UNITS_MAX, Currency, Money
from ledger.account import Account, AccountId, AccountKind, Party, PartyId
from ledger.plain_text_accounting import write_beancount, write_hledger
from ledger.transfer import Transfer, TransferKind, TransferRequest
from ledger.transfer_files import COLUMNS
from tests.unit.ledger.test_plain_text_accounting import NASTY, shown

JPY = CURRENCIES["JPY"]
PARTIES = [Party(PartyId("plant"), 'Plant "AB"; | x'), Party(PartyId("energy-co"), "Energy\nCo")]
TRANSFERS = 400
DAY = 24 * 3600 * SECOND

Finished = subprocess.CompletedProcess[str]
Hledger = Callable[..., Finished]
BeanCheck = Callable[[str], Finished]


@dataclass(frozen=True)
class Book:
    accounts: list[Account]
    transfers: list[Transfer]
    balances: dict[AccountId, Money]


def opened(name: str, kind: AccountKind, of: Currency, number: int) -> Account:
    owner = PARTIES[number % 2].id
    return Account(AccountId(name), NASTY[number % len(NASTY)], owner, Money.zero(of), kind, kind.usual_type)


@pytest.fixture(scope="module")
def book() -> Book:
    """Random payments in two currencies, of one unit and of the largest amount, and exchanges between them."""
    chance, ids = random.Random(20261122), SeededIds(1)
    accounts: list[Account] = []
    for of in (SEK, JPY):
        kinds = [AccountKind.MACHINE] * 6 + [AccountKind.BANK, AccountKind.TRADING, AccountKind.ROUNDING]
        for kind in kinds:
            number = len(accounts)
            accounts.append(opened(f"{kind.value}-{of.code.lower()}-{number}", kind, of, number))
    transfers: list[Transfer] = []

    def pay(of: Currency, kind: TransferKind) -> None:
        number = len(transfers)
        debit, credit = chance.sample([account.id for account in accounts if account.currency == of], 2)
        units = chance.choice((1, chance.randint(1, 10**10), TRANSFER_UNITS_MAX))
        at = Instant(1_790_000_000 * SECOND + chance.randrange(40 * DAY))
        text, reference, source = (chance.choice(NASTY) for _ in range(3))
        request = TransferRequest(ids.fresh(), debit, credit, Money(units, of), at, text, reference, source, kind)
        transfers.append(Transfer(request, number // 10, number % 10, Instant(at + SECOND)))

    while len(transfers) < TRANSFERS:
        if chance.random() < 0.2:
            for of in (SEK, JPY, SEK):
                pay(of, TransferKind.LINKED)
            pay(JPY, TransferKind.PLAIN)
        else:
            pay(chance.choice((SEK, JPY)), TransferKind.PLAIN)
    balances = {account.id: Money.zero(account.currency) for account in accounts}
    for transfer in transfers:
        request = transfer.request
        balances[request.debit] -= request.amount
        balances[request.credit] += request.amount
    return Book(accounts, transfers, balances)


@pytest.fixture
def hledger(require_program: Callable[[str], str], tmp_path: Path) -> Hledger:
    program = require_program("hledger")

    def run(journal: str, *arguments: str) -> Finished:
        path = tmp_path / "book.journal"
        path.write_text(journal, encoding="utf-8")
        return execute([program, "-f", str(path), *arguments])

    return run


@pytest.fixture
def bean_check(tmp_path: Path) -> BeanCheck:
    def run(journal: str) -> Finished:
        path = tmp_path / "book.beancount"
        path.write_text(journal, encoding="utf-8")
        return execute([sys.executable, "-m", "beancount.scripts.check", "--no-cache", str(path)])

    return run


def execute(command: list[str]) -> Finished:
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def hledger_journal(book: Book, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(write_hledger, book, tmp_path_factory.mktemp("journal") / "book.journal")


@pytest.fixture(scope="module")
def beancount_journal(book: Book, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(write_beancount, book, tmp_path_factory.mktemp("journal") / "book.beancount")


def written(write: Callable[..., int], book: Book, path: Path) -> str:
    with path.open("w", encoding="utf-8") as file:
        count = write(
            book.accounts, PARTIES, book.transfers, file, balances=book.balances, zone=ZoneInfo("Europe/Stockholm")
        )
    assert count == len(book.transfers)
    return path.read_text(encoding="utf-8")


def one_side_off_by(number: str, journal: str) -> str:
    """The same journal, one posting of one krona's smallest part with another amount."""
    changed, count = re.subn(r"  0\.00000001 SEK$", f"  {number} SEK", journal, count=1, flags=re.MULTILINE)
    assert count == 1
    return changed


def both_sides_off_by_a_unit(journal: str) -> str:
    """A payment that still balances, but is not the one in the book."""
    posting = r"(?P<begin>^ +\S+  )0\.00000001 SEK(?P<between>$\n(?: .*\n)??^ +\S+  )-0\.00000001 SEK$"
    changed, count = re.subn(
        posting, r"\g<begin>0.00000002 SEK\g<between>-0.00000002 SEK", journal, count=1, flags=re.MULTILINE
    )
    assert count == 1
    return changed


def test_hledger_accepts_a_book_and_prints_its_balances(book: Book, hledger_journal: str, hledger: Hledger) -> None:
    checked = hledger(hledger_journal, "check", "--strict")
    assert (checked.returncode, checked.stderr, checked.stdout) == (0, "", "")
    shown_balances = hledger(hledger_journal, "balance", "--flat", "--empty", "--no-total", "-O", "csv").stdout
    found = dict(list(csv.reader(shown_balances.splitlines()))[1:])
    expected = {account.id: -book.balances[account.id].amount for account in book.accounts}
    assert {name.rpartition(":")[2]: Decimal(amount.split(" ")[0]) for name, amount in found.items()} == expected
    assert all(found[name].endswith(" JPY") == ("jpy" in name) for name in found)


def test_hledger_reads_nothing_in_a_text_but_text(book: Book, hledger_journal: str, hledger: Hledger) -> None:
    linked_on = [False, *(bool(transfer.request.kind & TransferKind.LINKED) for transfer in book.transfers)]
    firsts = [transfer for transfer, goes_on in zip(book.transfers, linked_on, strict=False) if not goes_on]
    printed = list(csv.DictReader(hledger(hledger_journal, "print", "-O", "csv").stdout.splitlines(keepends=True)))
    descriptions = {row["code"]: row["description"] for row in printed}
    expected = {f"{each.seq}.{each.position}": as_hledger(each.request.text) for each in firsts}
    assert descriptions == {**expected, "": "balances"}
    assert len(printed) == 2 * len(book.transfers) + len(book.balances)
    assert not any(row["date2"] for row in printed)
    names = set(hledger(hledger_journal, "tags").stdout.split()) - {"type"}
    assert names == {*COLUMNS, "name", "owner"} - {"debit", "credit", "amount", "currency", "cause"}
    ids = Counter(hledger(hledger_journal, "tags", "--values", "^id$").stdout.split())
    assert ids.keys() == {transfer.id.hex() for transfer in book.transfers}


def as_hledger(text: str) -> str:
    return shown(text).replace(";", "；").replace("|", "｜").strip()


def test_hledger_notices_one_ledger_unit(hledger_journal: str, hledger: Hledger) -> None:
    unbalanced = hledger(one_side_off_by("0.00000002", hledger_journal), "check", "--strict")
    assert unbalanced.returncode == 1
    assert "assert" not in unbalanced.stderr.lower()
    wrong = hledger(both_sides_off_by_a_unit(hledger_journal), "check", "--strict")
    assert wrong.returncode == 1
    assert "balance assertion" in wrong.stderr.lower()


def test_hledger_notices_even_a_part_of_a_ledger_unit(hledger_journal: str, hledger: Hledger) -> None:
    wrong = hledger(one_side_off_by("0.000000012", hledger_journal), "check", "--strict")
    assert wrong.returncode == 1


def test_hledger_asks_for_every_account_and_commodity_to_be_declared(hledger_journal: str, hledger: Hledger) -> None:
    for declared in (r"^account liabilities:plant:machine-sek-0 .*\n", r"^commodity .* JPY\n"):
        undeclared, count = re.subn(declared, "", hledger_journal, flags=re.MULTILINE)
        assert count == 1
        assert hledger(undeclared, "check", "--strict").returncode == 1


def test_beancount_accepts_a_book_and_finds_its_balances(
    book: Book, beancount_journal: str, bean_check: BeanCheck
) -> None:
    checked = bean_check(beancount_journal)
    assert (checked.returncode, checked.stderr, checked.stdout) == (0, "", "")
    assert len(re.findall(r"^\S+ balance ", beancount_journal, re.MULTILINE)) == len(book.accounts)


def test_beancount_notices_one_ledger_unit(beancount_journal: str, bean_check: BeanCheck) -> None:
    for number in ("0.00000002", "0.000000012"):
        unbalanced = bean_check(one_side_off_by(number, beancount_journal))
        assert unbalanced.returncode == 1
        assert "Transaction does not balance" in unbalanced.stderr
    wrong = bean_check(both_sides_off_by_a_unit(beancount_journal))
    assert wrong.returncode == 1
    assert wrong.stderr.count("Balance failed") == 2
    assert "Transaction does not balance" not in wrong.stderr


@pytest.mark.parametrize("write", [write_hledger, write_beancount])
def test_a_balance_that_is_not_what_the_transfers_make_is_noticed(
    write: Callable[..., int], book: Book, tmp_path: Path, hledger: Hledger, bean_check: BeanCheck
) -> None:
    name = book.accounts[0].id
    off = replace(book, balances={**book.balances, name: book.balances[name] + Money(1, SEK)})
    journal = written(write, off, tmp_path / "off")
    result = hledger(journal, "check") if write is write_hledger else bean_check(journal)
    assert result.returncode == 1
    assert name in result.stderr.lower()
