"""A book as journals: the whole of a small one, and what no text may do."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from beancount.core.data import Balance, Open, Transaction
from beancount.parser import parser
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import Instant, from_datetime
from core.errors import InvariantBroken
from core.ids import TransferId
from core.money import EUR, SEK, Money
from ledger.account import Account, AccountId, AccountKind, AccountType, Party, PartyId
from ledger.plain_text_accounting import write_beancount, write_hledger
from ledger.transfer import Transfer, TransferKind, TransferRequest

STOCKHOLM = ZoneInfo("Europe/Stockholm")
PROGRAMS = pytest.mark.parametrize("write", [write_hledger, write_beancount], ids=["hledger", "beancount"])
Write = Callable[..., int]

PLANT = Party(PartyId("plant"), "Plant AB")


def account(name: str, currency: str = "SEK", kind: AccountKind = AccountKind.MACHINE, title: str = "") -> Account:
    floor = Money.parse(f"0 {currency}")
    return Account(AccountId(name), title or name.title(), PLANT.id, floor, kind, kind.usual_type)


ACCOUNTS = [
    account("agv-7", title="AGV 7"),
    account("charger"),
    account("sek", kind=AccountKind.TRADING),
    account("eur", "EUR", AccountKind.TRADING),
    account("bank", "EUR", AccountKind.BANK),
]
DONE = from_datetime(datetime(2026, 11, 22, 23, 30, tzinfo=UTC))
"""The day after in Stockholm."""


def transfer(position: int, debit: str, credit: str, amount: str, **more: Any) -> Transfer:
    request = TransferRequest(
        TransferId(bytes([position]) * 16), AccountId(debit), AccountId(credit), Money.parse(amount), DONE, **more
    )
    return Transfer(request, 17, position, Instant(DONE + 1_000_000))


TRANSFERS = [
    transfer(0, "agv-7", "charger", "1.25 kr", text="0.5 kWh; night", reference="order 7", source="agreement:energy"),
    transfer(1, "charger", "sek", "11 kr", text="buy euros", kind=TransferKind.LINKED),
    transfer(2, "eur", "bank", "1 EUR", text="buy euros"),
    transfer(3, "charger", "agv-7", "1.25 kr", kind=TransferKind.REVERSAL, cause=TransferId(bytes(16))),
]
BALANCES = {
    AccountId("agv-7"): Money.zero(SEK),
    AccountId("charger"): Money.parse("-11 kr"),
    AccountId("sek"): Money.parse("11 kr"),
    AccountId("eur"): Money.parse("-1 EUR"),
    AccountId("bank"): Money.parse("1 EUR"),
}

HLEDGER = """\
; What is paid out of an account is positive here, what it receives negative.
decimal-mark .
commodity 1000.00000000 EUR
commodity 1000.00000000 SEK
account assets  ; type:A
account liabilities  ; type:L
account equity  ; type:E
account income  ; type:R
account expenses  ; type:X
account liabilities:plant:agv-7  ; name:AGV 7, owner:Plant AB
account liabilities:plant:charger  ; name:Charger, owner:Plant AB
account equity:plant:sek  ; name:Sek, owner:Plant AB
account equity:plant:eur  ; name:Eur, owner:Plant AB
account assets:plant:bank  ; name:Bank, owner:Plant AB

2026-11-23 * (17.0) 0.5 kWh； night
    ; id:00000000000000000000000000000000, effective_time:2026-11-22T23:30:00.000000Z, reference:order 7, \
source:agreement:energy, position:0, batch:17, posted_time:2026-11-22T23:30:01.000000Z
    liabilities:plant:agv-7  1.25000000 SEK
    liabilities:plant:charger  -1.25000000 SEK

2026-11-23 * (17.1) buy euros
    ; batch:17, posted_time:2026-11-22T23:30:01.000000Z
    liabilities:plant:charger  11.00000000 SEK
    ; text:buy euros, id:01010101010101010101010101010101, effective_time:2026-11-22T23:30:00.000000Z, \
kind:linked, position:1
    equity:plant:sek  -11.00000000 SEK
    equity:plant:eur  1.00000000 EUR
    ; text:buy euros, id:02020202020202020202020202020202, effective_time:2026-11-22T23:30:00.000000Z, position:2
    assets:plant:bank  -1.00000000 EUR

2026-11-23 * (17.3)
    ; id:03030303030303030303030303030303, effective_time:2026-11-22T23:30:00.000000Z, kind:reversal, \
cause:00000000000000000000000000000000, position:3, batch:17, posted_time:2026-11-22T23:30:01.000000Z
    liabilities:plant:charger  1.25000000 SEK
    liabilities:plant:agv-7  -1.25000000 SEK

2026-11-23 * balances
    liabilities:plant:agv-7  0.00000000 SEK == 0.00000000 SEK
    liabilities:plant:charger  0.00000000 SEK == 11.00000000 SEK
    equity:plant:sek  0.00000000 SEK == -11.00000000 SEK
    equity:plant:eur  0.00000000 EUR == 1.00000000 EUR
    assets:plant:bank  0.00000000 EUR == -1.00000000 EUR
"""

BEANCOUNT = """\
; What is paid out of an account is positive here, what it receives negative.
option "inferred_tolerance_default" "*:0"
option "tolerance_multiplier" "0"
option "operating_currency" "EUR"
option "operating_currency" "SEK"
0001-01-01 commodity EUR
  name: "Euro"
0001-01-01 commodity SEK
  name: "Swedish krona"
0001-01-01 open Liabilities:Plant:Agv-7 SEK
  name: "AGV 7"
  owner: "Plant AB"
0001-01-01 open Liabilities:Plant:Charger SEK
  name: "Charger"
  owner: "Plant AB"
0001-01-01 open Equity:Plant:Sek SEK
  name: "Sek"
  owner: "Plant AB"
0001-01-01 open Equity:Plant:Eur EUR
  name: "Eur"
  owner: "Plant AB"
0001-01-01 open Assets:Plant:Bank EUR
  name: "Bank"
  owner: "Plant AB"

2026-11-23 * "0.5 kWh; night"
  id: "00000000000000000000000000000000"
  effective_time: "2026-11-22T23:30:00.000000Z"
  reference: "order 7"
  source: "agreement:energy"
  position: 0
  batch: 17
  posted_time: "2026-11-22T23:30:01.000000Z"
  Liabilities:Plant:Agv-7  1.25000000 SEK
  Liabilities:Plant:Charger  -1.25000000 SEK

2026-11-23 * "buy euros"
  batch: 17
  posted_time: "2026-11-22T23:30:01.000000Z"
  Liabilities:Plant:Charger  11.00000000 SEK
    text: "buy euros"
    id: "01010101010101010101010101010101"
    effective_time: "2026-11-22T23:30:00.000000Z"
    kind: "linked"
    position: 1
  Equity:Plant:Sek  -11.00000000 SEK
  Equity:Plant:Eur  1.00000000 EUR
    text: "buy euros"
    id: "02020202020202020202020202020202"
    effective_time: "2026-11-22T23:30:00.000000Z"
    position: 2
  Assets:Plant:Bank  -1.00000000 EUR

2026-11-23 * ""
  id: "03030303030303030303030303030303"
  effective_time: "2026-11-22T23:30:00.000000Z"
  kind: "reversal"
  cause: "00000000000000000000000000000000"
  position: 3
  batch: 17
  posted_time: "2026-11-22T23:30:01.000000Z"
  Liabilities:Plant:Charger  1.25000000 SEK
  Liabilities:Plant:Agv-7  -1.25000000 SEK

2026-11-24 balance Liabilities:Plant:Agv-7  0.00000000 ~ 0 SEK
2026-11-24 balance Liabilities:Plant:Charger  11.00000000 ~ 0 SEK
2026-11-24 balance Equity:Plant:Sek  -11.00000000 ~ 0 SEK
2026-11-24 balance Equity:Plant:Eur  1.00000000 ~ 0 EUR
2026-11-24 balance Assets:Plant:Bank  -1.00000000 ~ 0 EUR
"""


def journal(
    write: Write,
    accounts: list[Account] = ACCOUNTS,
    transfers: list[Transfer] = TRANSFERS,
    balances: dict[AccountId, Money] = BALANCES,
    zone: ZoneInfo = STOCKHOLM,
) -> str:
    to = io.StringIO()
    assert write(accounts, [PLANT], transfers, to, balances=balances, zone=zone) == len(transfers)
    return to.getvalue()


@pytest.mark.parametrize(("write", "expected"), [(write_hledger, HLEDGER), (write_beancount, BEANCOUNT)])
def test_a_small_book_as_a_whole(write: Write, expected: str) -> None:
    assert journal(write) == expected


@PROGRAMS
def test_a_day_is_the_zone_s(write: Write) -> None:
    assert "\n2026-11-23 * " in journal(write)
    assert "\n2026-11-22 * " in journal(write, zone=ZoneInfo("UTC"))


@PROGRAMS
def test_balances_are_asserted_after_the_latest_day_wherever_it_stands(write: Write) -> None:
    earlier = replace(TRANSFERS[3], request=replace(TRANSFERS[3].request, effective_time=Instant(0)))
    asserted = {write_hledger: "2026-11-23 * balances\n", write_beancount: "2026-11-24 balance "}
    assert asserted[write] in journal(write, transfers=[*TRANSFERS[:3], earlier])


@PROGRAMS
def test_a_book_where_nothing_has_moved_is_a_journal_too(write: Write) -> None:
    empty = journal(write, transfers=[], balances={AccountId("bank"): Money.zero(EUR)})
    assert "1970-01-0" in empty
    assert "assets:plant:bank  0.00000000" in empty.lower()
    assert "1970" not in journal(write, transfers=[], balances={})


@PROGRAMS
def test_each_transfer_is_written_before_the_next_is_asked_for(write: Write) -> None:
    to = io.StringIO()
    plain = [transfer(number, "agv-7", "charger", "1 kr") for number in range(3)]

    def stream() -> Iterator[Transfer]:
        for each in plain:
            yield each
            assert each.id.hex() in to.getvalue()

    assert write(ACCOUNTS, [PLANT], stream(), to, balances={}, zone=STOCKHOLM) == 3


@PROGRAMS
def test_linked_transfers_that_miss_their_last_are_written_all_the_same(write: Write) -> None:
    assert TRANSFERS[1].id.hex() in journal(write, transfers=TRANSFERS[:2])


@PROGRAMS
def test_an_account_the_book_does_not_have_stops_the_journal(write: Write) -> None:
    with pytest.raises(InvariantBroken, match="'charger', which is not among"):
        journal(write, accounts=ACCOUNTS[:1], balances={})
    with pytest.raises(InvariantBroken, match="'eur', which is not among"):
        journal(write, accounts=ACCOUNTS[:3], transfers=[])


AWKWARD_IDS = ["agv-7", "Agv-7", "agv 7", "agv:7", "-", "", "電力", "åk", "7", "ŉ", "a;b", 'a"b', "a\nb", "x", "X-x"]


@PROGRAMS
def test_accounts_of_whatever_id_have_names_of_their_own(write: Write) -> None:
    accounts = [account(name, title="t") for name in AWKWARD_IDS]
    text = journal(write, accounts=accounts, transfers=[], balances={})
    names = re.findall(r"^(?:account|0001-01-01 open) (\S+:\S+)", text, re.MULTILINE)
    assert len(set(names)) == len(AWKWARD_IDS)
    more = journal(write, accounts=[*accounts, account("agv.7", title="t")], transfers=[], balances={})
    assert more.startswith(text.rstrip("\n"))


def test_every_type_has_its_root() -> None:
    accounts = [replace(account(kind.value), type=kind) for kind in AccountType]
    text = journal(write_beancount, accounts=accounts, transfers=[], balances={})
    roots = re.findall(r"open (\w+):Plant:(\w+) ", text)
    assert roots == [
        ("Assets", "Asset"), ("Liabilities", "Liability"), ("Equity", "Equity"), ("Income", "Income"),
        ("Expenses", "Expense"),
    ]  # fmt: skip


NASTY = [
    "; x", '"', '\\"', "\\", '" ^link #tag', "|", "a | b ; c, date:2020-01-01", "2026-01-01 open Assets:Cash", "* !",
    "(x", "(x) y", "=2026-01-01", "[2026-01-01]", "a\n2026-01-01 open Assets:Cash SEK", "a\r\n    assets:x  1 SEK",
    "a\u2028b", "a\x85b", "a\x0bb\x0cc", "a\udcffb", "  two  spaces  ", "comment", "end comment", "include /etc/passwd",
    "; type:A", "電力 åäö 🔌", "{{template}} @ 5 EUR", "\t", "a:b, c:d",
]  # fmt: skip
nasty = st.one_of(
    st.sampled_from(NASTY), st.text(max_size=20), st.text(alphabet=' ;|,:"\\\n[]()*!#^{}@=~', max_size=20)
)


@settings(deadline=None)
@given(text=nasty, reference=nasty, source=nasty, name=nasty)
def test_no_text_is_more_than_text_to_beancount(text: str, reference: str, source: str, name: str) -> None:
    paid = transfer(0, "agv-7", "charger", "1.25 kr", text=text, reference=reference, source=source)
    accounts = [account("agv-7", title=name or "-"), account("charger")]
    written = journal(write_beancount, accounts, [paid], {AccountId("agv-7"): Money.parse("-1.25 kr")})
    entries, errors, _ = parser.parse_string(written.encode("utf-8").decode())
    assert not errors
    (found,) = [entry for entry in entries if isinstance(entry, Transaction)]
    assert found.narration == shown(text)
    assert (found.payee, found.tags, found.links, found.date) == (None, frozenset(), frozenset(), date(2026, 11, 23))
    assert [posting.account for posting in found.postings] == ["Liabilities:Plant:Agv-7", "Liabilities:Plant:Charger"]
    assert found.meta.get("reference", "") == shown(reference)
    assert found.meta.get("source", "") == shown(source)
    opened = [entry for entry in entries if isinstance(entry, Open)]
    assert [entry.meta["name"] for entry in opened] == [shown(name or "-"), "Charger"]
    assert len([entry for entry in entries if isinstance(entry, Balance)]) == 1


@settings(deadline=None)
@given(text=nasty, reference=nasty, source=nasty, name=nasty)
def test_no_text_adds_a_line_or_a_comment_for_hledger(text: str, reference: str, source: str, name: str) -> None:
    plain = transfer(0, "agv-7", "charger", "1.25 kr")
    paid = transfer(0, "agv-7", "charger", "1.25 kr", text=text, reference=reference, source=source)
    accounts = [account("agv-7", title=name or "-"), account("charger")]
    expected = journal(write_hledger, [account("agv-7"), account("charger")], [plain], {}).split("\n")
    written = journal(write_hledger, accounts, [paid], {}).split("\n")
    assert len(written) == len(expected)
    differing = [line for line, other in zip(written, expected, strict=True) if line != other]
    assert all(line.startswith(("account ", "2026-11-23 * (17.0)", "    ; id:0")) for line in differing)
    assert all(line.count(";") <= 1 for line in written)
    (tags,) = [line for line in written if "; id:" in line]
    assert len(tags.split(",")) == 5 + bool(shown(reference).strip()) + bool(shown(source).strip())


def shown(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)
