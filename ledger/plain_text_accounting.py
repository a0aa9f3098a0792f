"""A book as a journal for hledger or beancount: independent programs that compute its balances anew.

Both are double-entry, with debits positive and credits negative. A transfer's debit account pays, so its posting is
+amount, and its credit account's is -amount: for a machine's account, a liability of the book, having less is a
debit. What the programs show for an account is therefore our balance with its sign turned.

Every amount is written with all decimals of a ledger unit, and the balances that the book has are asserted at the
end, so that neither program tolerates a difference of a single unit. Text is only ever text: whatever would end it,
begin a comment or name a tag is replaced or escaped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import IO, Protocol
from zoneinfo import ZoneInfo

from core.clock import EPOCH, Instant, to_datetime, to_text
from core.errors import InvariantBroken
from core.money import Currency, Money
from ledger.account import Account, AccountId, AccountType, Party
from ledger.transfer import Transfer, TransferKind
from ledger.transfer_files import kind_text

Tags = Mapping[str, str | int]
"""Named as the columns of `transfer_files`."""

_ROOTS = {
    AccountType.ASSET: "assets",
    AccountType.LIABILITY: "liabilities",
    AccountType.EQUITY: "equity",
    AccountType.INCOME: "income",
    AccountType.EXPENSE: "expenses",
}
_SIGNS = "What is paid out of an account is positive here, what it receives negative."

# hledger has no escapes: what ends a description or a tag's value gives way to its twin of full width.
_HLEDGER_DESCRIPTION = str.maketrans({";": "；", "|": "｜"})
_HLEDGER_TAG = str.maketrans({";": "；", "|": "｜", ",": "，", "[": "［", "]": "］"})
_BEANCOUNT_TEXT = str.maketrans({'"': r"\"", "\\": r"\\"})


def write_hledger(
    accounts: Iterable[Account],
    parties: Iterable[Party],
    transfers: Iterable[Transfer],
    to: IO[str],
    *,
    balances: Mapping[AccountId, Money],
    zone: ZoneInfo,
) -> int:
    """Write a journal that `hledger check --strict` accepts (tried with 1.25; in a UTF-8 locale); how many transfers.

    `accounts` in the order they were opened, so that each keeps its name when more are opened. `transfers` in the
    book's order, linked ones together; they are read one at a time. `balances` are those after the last transfer.
    `zone` says which day a time belongs to. Raises InvariantBroken where a transfer or a balance names an account
    that is not among them.
    """
    return _write(_Hledger(), accounts, parties, transfers, to, balances, zone)


def write_beancount(
    accounts: Iterable[Account],
    parties: Iterable[Party],
    transfers: Iterable[Transfer],
    to: IO[str],
    *,
    balances: Mapping[AccountId, Money],
    zone: ZoneInfo,
) -> int:
    """Write a ledger that `bean-check` accepts without any tolerance (tried with 3.2); otherwise the same."""
    return _write(_Beancount(), accounts, parties, transfers, to, balances, zone)


class _Program(Protocol):
    """How one of the programs wants it said; every answer ends with a line feed."""

    def component(self, text: str) -> str:
        """Text as one part of an account's name."""
        ...

    def head(self, currencies: Sequence[Currency]) -> str: ...

    def account(self, name: str, account: Account, owner: str) -> str: ...

    def transaction(self, day: date, first: Transfer, tags: Tags) -> str: ...

    def posting(self, name: str, amount: Money, tags: Tags) -> str: ...

    def balances(self, day: date, amounts: Mapping[str, Money]) -> Iterator[str]:
        """Assert the amounts at the end of that day, by account name."""
        ...


def _write(
    program: _Program,
    accounts: Iterable[Account],
    parties: Iterable[Party],
    transfers: Iterable[Transfer],
    to: IO[str],
    balances: Mapping[AccountId, Money],
    zone: ZoneInfo,
) -> int:
    accounts = list(accounts)
    names = _names(accounts, program.component)
    owners = {party.id: party.name for party in parties}
    currencies = {account.currency.code: account.currency for account in accounts}
    to.write(program.head([currencies[code] for code in sorted(currencies)]))
    for account in accounts:
        to.write(program.account(names[account.id], account, owners.get(account.owner, account.owner)))
    last, written = _day(EPOCH, zone), 0
    for group in _groups(transfers):
        day = _day(group[0].request.effective_time, zone)
        to.writelines(_transaction(program, day, group, names))
        last = max(last, day)
        written += len(group)
    to.writelines(program.balances(last, {_name(names, account): -balance for account, balance in balances.items()}))
    return written


def _groups(transfers: Iterable[Transfer]) -> Iterator[list[Transfer]]:
    """Transfers that were posted all or none, together."""
    group: list[Transfer] = []
    for transfer in transfers:
        group.append(transfer)
        if not transfer.request.kind & TransferKind.LINKED:
            yield group
            group = []
    if group:
        yield group


def _transaction(
    program: _Program, day: date, group: Sequence[Transfer], names: Mapping[AccountId, str]
) -> Iterator[str]:
    """One transfer's tags stand on the transaction; of several each has its own on the posting that pays."""
    first = group[0]
    is_single = len(group) == 1
    common: Tags = {"batch": first.seq, "posted_time": to_text(first.posted_time)}
    yield program.transaction(day, first, {**_tags(first), **common} if is_single else common)
    for transfer in group:
        request = transfer.request
        tags = {} if is_single else {"text": request.text, **_tags(transfer)}
        yield program.posting(_name(names, request.debit), request.amount, tags)
        yield program.posting(_name(names, request.credit), -request.amount, {})


def _tags(transfer: Transfer) -> Tags:
    request = transfer.request
    return {
        "id": request.id.hex(),
        "effective_time": to_text(request.effective_time),
        "reference": request.reference,
        "source": request.source,
        "kind": kind_text(request.kind) if request.kind else "",
        "cause": request.cause.hex() if request.cause else "",
        "position": transfer.position,
    }


class _Hledger:
    def component(self, text: str) -> str:
        return _letters_and_digits(text)

    def head(self, currencies: Sequence[Currency]) -> str:
        types = "".join(f"account {root}  ; type:{root[0].upper()}\n" for root in ("assets", "liabilities", "equity"))
        types += "account income  ; type:R\naccount expenses  ; type:X\n"
        samples = "".join(f"commodity 1000.{'0' * each.scale} {each.code}\n" for each in currencies)
        return f"; {_SIGNS}\ndecimal-mark .\n{samples}{types}"

    def account(self, name: str, account: Account, owner: str) -> str:
        return f"account {name}{self._comment({'name': account.name, 'owner': owner})}\n"

    def transaction(self, day: date, first: Transfer, tags: Tags) -> str:
        # After a status and a code nothing in the description is read as one.
        description = _printable(first.request.text).translate(_HLEDGER_DESCRIPTION)
        line = f"{day.isoformat()} * ({first.seq}.{first.position}) {description}".rstrip()
        return f"\n{line}\n{self._comment_line(tags)}"

    def posting(self, name: str, amount: Money, tags: Tags) -> str:
        return f"    {name}  {_amount(amount)}\n{self._comment_line(tags)}"

    def balances(self, day: date, amounts: Mapping[str, Money]) -> Iterator[str]:
        if amounts:
            yield f"\n{day.isoformat()} * balances\n"
        for name, amount in amounts.items():
            yield f"    {name}  {_amount(Money.zero(amount.currency))} == {_amount(amount)}\n"

    def _comment_line(self, tags: Tags) -> str:
        comment = self._comment(tags)
        return f"  {comment}\n" if comment else ""

    def _comment(self, tags: Tags) -> str:
        texts = {key: _printable(str(value)).translate(_HLEDGER_TAG).strip() for key, value in tags.items()}
        shown = ", ".join(f"{key}:{text}" for key, text in texts.items() if text)
        return f"  ; {shown}" if shown else ""


class _Beancount:
    # Before any transfer, whatever its time.
    _BEGINNING = date.min.isoformat()

    def component(self, text: str) -> str:
        component = _letters_and_digits(text)
        component = component[:1].upper() + component[1:]
        return component if unicodedata.category(component[0]) in ("Lu", "Nd") else f"X{component}"

    def head(self, currencies: Sequence[Currency]) -> str:
        options = 'option "inferred_tolerance_default" "*:0"\noption "tolerance_multiplier" "0"\n'
        options += "".join(f'option "operating_currency" "{each.code}"\n' for each in currencies)
        return f"; {_SIGNS}\n{options}" + "".join(
            f"{self._BEGINNING} commodity {each.code}\n{self._metadata('  ', {'name': each.name})}"
            for each in currencies
        )

    def account(self, name: str, account: Account, owner: str) -> str:
        opened = f"{self._BEGINNING} open {name} {account.currency.code}\n"
        return opened + self._metadata("  ", {"name": account.name, "owner": owner})

    def transaction(self, day: date, first: Transfer, tags: Tags) -> str:
        return f"\n{day.isoformat()} * {self._quoted(first.request.text)}\n{self._metadata('  ', tags)}"

    def posting(self, name: str, amount: Money, tags: Tags) -> str:
        return f"  {name}  {_amount(amount)}\n{self._metadata('    ', tags)}"

    def balances(self, day: date, amounts: Mapping[str, Money]) -> Iterator[str]:
        yield "\n"
        after = (day + timedelta(days=1)).isoformat()  # beancount asserts at the beginning of a day
        for name, amount in amounts.items():
            number, _, code = _amount(amount).partition(" ")
            yield f"{after} balance {name}  {number} ~ 0 {code}\n"

    def _metadata(self, indent: str, tags: Tags) -> str:
        return "".join(
            f"{indent}{key}: {value if isinstance(value, int) else self._quoted(value)}\n"
            for key, value in tags.items()
            if value != ""
        )

    def _quoted(self, text: str) -> str:
        return f'"{_printable(text).translate(_BEANCOUNT_TEXT)}"'


def _names(accounts: Iterable[Account], component: Callable[[str], str]) -> dict[AccountId, str]:
    """`liabilities:plant:agv-7`. Of two that would be named alike the later gets a number."""
    names: dict[AccountId, str] = {}
    taken: set[str] = set()
    for account in accounts:
        parts = (_ROOTS[account.type], account.owner, account.id)
        name = alike = ":".join(map(component, parts))
        number = 1
        while name in taken:
            number += 1
            name = f"{alike}-{number}"
        taken.add(name)
        names[account.id] = name
    return names


def _name(names: Mapping[AccountId, str], account: AccountId) -> str:
    name = names.get(account)
    if name is None:
        raise InvariantBroken(f"a transfer or a balance is of {account!r}, which is not among the book's accounts")
    return name


def _letters_and_digits(text: str) -> str:
    """Both programs take letters of any script, decimal digits and dashes; anything else becomes a dash."""
    return "".join(each if each.isalpha() or each.isdecimal() else "-" for each in text) or "-"


def _printable(text: str) -> str:
    """Without line breaks, control characters and broken encoding, of whatever kind."""
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


def _amount(amount: Money) -> str:
    """All decimals of a ledger unit, also those that are zero: both programs judge precision by them."""
    return f"{amount.amount:f} {amount.currency.code}"


def _day(at: Instant, zone: ZoneInfo) -> date:
    return to_datetime(at).astimezone(zone).date()
