"""Which nodes show the bank and its machines: ids, names, types, meanings. Pure; knows no OPC UA library."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from urllib.parse import unquote

from core.money import Currency, Money
from core.quantity import Unit
from core.sample import TagId
from ledger.account import Account, AccountId, PartyId
from ledger.balance import AccountStatus
from ledger.transfer import REFERENCE_CHARACTERS_MAX

NAMESPACE_URI = "urn:myntverk:bank:1"
"""Names every node of ours. The number grows only when a node changes its meaning."""

CHILDREN_MAX = 200
"""Children of one folder; beyond that clients stumble, so they are grouped. Node ids do not change with the groups."""


class ValueType(Enum):
    """Types that every PLC family can read (Part 6, 5.1.2)."""

    BOOLEAN = auto()
    INT32 = auto()
    INT64 = auto()
    UINT64 = auto()
    DOUBLE = auto()
    STRING = auto()
    TIME = auto()
    """DateTime; in Python an `Instant`."""


PlainValue = bool | int | float | str | None


class Link(Enum):
    """How a node hangs on its parent."""

    ORGANIZES = auto()
    COMPONENT = auto()
    PROPERTY = auto()


@dataclass(frozen=True, slots=True)
class ObjectNode:
    """A folder or an object. `parent` is a node id of ours; empty is the Objects folder of the server."""

    id: str
    parent: str
    name: str
    title: str = ""
    description: str = ""
    link: Link = Link.ORGANIZES
    folder: bool = False


@dataclass(frozen=True, slots=True)
class VariableNode:
    """A value that anyone reads and no one writes from outside. `value` is set when it never changes."""

    id: str
    parent: str
    name: str
    type: ValueType
    description: str = ""
    unit: Unit | None = None
    currency: Currency | None = None
    value: PlainValue = None
    link: Link = Link.COMPONENT


@dataclass(frozen=True, slots=True)
class Argument:
    """One scalar that goes into a method or comes out of it."""

    name: str
    type: ValueType
    description: str


@dataclass(frozen=True, slots=True)
class MethodNode:
    """Something to call on an object."""

    id: str
    parent: str
    name: str
    description: str
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]


Node = ObjectNode | VariableNode | MethodNode


@dataclass(frozen=True, slots=True)
class TagNode:
    """One live value of a machine, in its unit."""

    name: str
    type: ValueType = ValueType.DOUBLE
    unit: Unit | None = None


@dataclass(frozen=True, slots=True)
class MachineNode:
    """A machine as clients see it. `account` is the account it earns on, if it has one."""

    id: str
    name: str
    tags: Sequence[TagNode] = ()
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    account: AccountId | None = None


@dataclass(frozen=True, slots=True)
class Plant:
    """What the server shows besides accounts: the plant's name, its machines, and the names of account owners."""

    name: str
    machines: Sequence[MachineNode] = ()
    owners: Mapping[PartyId, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccountVariable:
    """A variable of every account: `value` takes it from the account's status and its owner's name."""

    path: str
    type: ValueType
    description: str
    value: Callable[[AccountStatus, str], PlainValue]
    money: bool = False


def _whole(amount: Money) -> float:
    """For screens only: exact up to 90 million kronor. Who reckons takes the twin in ledger units."""
    return float(amount.amount)


def _last_id(status: AccountStatus, _: str) -> str:
    return status.last_transfer.id.hex() if status.last_transfer else ""


def _last_time(status: AccountStatus, _: str) -> int | None:
    return status.last_transfer.posted_time if status.last_transfer else None


def _last_amount(status: AccountStatus, _: str) -> float:
    if status.last_transfer is None:
        return 0.0
    request = status.last_transfer.request
    return _whole(-request.amount if request.debit == status.account.id else request.amount)


def _last_counterparty(status: AccountStatus, _: str) -> str:
    if status.last_transfer is None:
        return ""
    request = status.last_transfer.request
    return request.credit if request.debit == status.account.id else request.debit


def _last_text(status: AccountStatus, _: str) -> str:
    return status.last_transfer.request.text if status.last_transfer else ""


_T = ValueType
ACCOUNT_VARIABLES = (
    AccountVariable("Name", _T.STRING, "The account's name for people", lambda s, _: s.account.name),
    AccountVariable("Owner", _T.STRING, "The legal entity that owns the account", lambda _, owner: owner),
    AccountVariable("OwnerId", _T.STRING, "The owner's id in the plant's file", lambda s, _: s.account.owner),
    AccountVariable("Currency", _T.STRING, "ISO 4217 alphabetic code", lambda s, _: s.account.currency.code),
    AccountVariable("Balance", _T.DOUBLE, "In whole currency, for screens", lambda s, _: _whole(s.balance), money=True),
    AccountVariable(
        "AvailableBalance",
        _T.DOUBLE,
        "What may still be paid: the balance and the credit, in whole currency",
        lambda s, _: _whole(s.available),
    ),
    AccountVariable(
        "CreditLimit",
        _T.DOUBLE,
        "How far below zero the balance may go, in whole currency",
        lambda s, _: _whole(s.account.credit_limit),
    ),
    AccountVariable("TotalIn", _T.DOUBLE, "Received since opened, in whole currency", lambda s, _: _whole(s.total_in)),
    AccountVariable("TotalOut", _T.DOUBLE, "Paid since opened, in whole currency", lambda s, _: _whole(s.total_out)),
    AccountVariable("BalanceUnits", _T.INT64, "The balance, exact, in ledger units", lambda s, _: s.balance.units),
    AccountVariable(
        "AvailableUnits", _T.INT64, "The available balance, exact, in ledger units", lambda s, _: s.available.units
    ),
    AccountVariable(
        "LedgerScale",
        _T.INT32,
        "Decimals of a ledger unit: 8 means that 100000000 units are one krona",
        lambda s, _: s.account.currency.scale,
    ),
    AccountVariable("LastTransfer.Id", _T.STRING, "32 hexadecimal digits; empty before the first one", _last_id),
    AccountVariable("LastTransfer.Time", _T.TIME, "When it was posted", _last_time),
    AccountVariable(
        "LastTransfer.Amount",
        _T.DOUBLE,
        "In whole currency; positive when this account received it, negative when it paid",
        _last_amount,
    ),
    AccountVariable("LastTransfer.Counterparty", _T.STRING, "The other account", _last_counterparty),
    AccountVariable("LastTransfer.Text", _T.STRING, "What was paid for", _last_text),
)

_RESULT = (
    Argument("ResultCode", _T.INT32, "0 posted, 1 already posted before, below zero refused"),
    Argument("ResultText", _T.STRING, "The result for a person"),
    Argument("TransferId", _T.STRING, "32 hexadecimal digits; empty when nothing was posted"),
)
_REQUEST_ID = Argument("RequestId", _T.STRING, "Your own id of this payment; the same id never pays twice")
_PAYMENT = (
    Argument("Currency", _T.STRING, "ISO 4217 alphabetic code, such as SEK"),
    Argument("Payee", _T.STRING, "The account that receives"),
    Argument("Reference", _T.STRING, f"Yours, at most {REFERENCE_CHARACTERS_MAX} characters; may be empty"),
)
PAY = (
    _REQUEST_ID,
    Argument("AmountMinor", _T.INT64, "In minor units: öre, cent; 1250 is 12.50"),
    *_PAYMENT,
)
PAY_DECIMAL = (
    _REQUEST_ID,
    Argument("Amount", _T.STRING, "In whole currency with a decimal point, such as 12.50"),
    *_PAYMENT,
)
GET_STATUS = (_REQUEST_ID,)

LEDGER_VARIABLES = (
    ("Book", _T.STRING, "The book these accounts belong to"),
    ("Sequence", _T.UINT64, "Batches in the book"),
    ("Transfers", _T.UINT64, "Transfers in the book"),
    ("Refused", _T.UINT64, "Payments refused since the server started"),
    ("JournalHead", _T.STRING, "The seal of the last batch, hexadecimal"),
    ("Settling", _T.BOOLEAN, "False when a fault has stopped settling; values can still be read"),
)


def node_id(*path: str) -> str:
    """A dotted node id. Dots and what separates ids and paths elsewhere are percent-encoded inside a part."""
    return ".".join(re.sub(r"[%./;]", lambda match: f"%{ord(match[0]):02X}", part) for part in path)


def account_node_id(account: AccountId, variable: str = "") -> str:
    """`Accounts.agv-7`, or `Accounts.agv-7.LastTransfer.Id` for the variable `LastTransfer.Id`."""
    return node_id("Accounts", account, *variable.split(".")) if variable else node_id("Accounts", account)


def account_of(id: str) -> AccountId:
    """The account whose object has that node id."""
    return AccountId(unquote(id.removeprefix("Accounts.")))


def machine_node_id(machine: str, variable: str = "") -> str:
    return node_id("Machines", machine, variable) if variable else node_id("Machines", machine)


def tag_node_id(tag: TagId) -> str:
    machine, _, name = tag.partition(".")
    return node_id("Machines", machine, "Tags", name)


def ledger_node_id(variable: str) -> str:
    return node_id("Ledger", variable)


def nodes(plant: Plant, accounts: Sequence[Account]) -> Iterator[Node]:
    """Everything there is, parents before children."""
    yield ObjectNode("Bank", "", "Bank", description=f"The bank of {plant.name}", folder=True)
    yield ObjectNode("Ledger", "Bank", "Ledger", description="The book that all balances come from")
    for name, type_, description in LEDGER_VARIABLES:
        yield VariableNode(ledger_node_id(name), "Ledger", name, type_, description)

    yield ObjectNode("Accounts", "Bank", "Accounts", description="One object per account", folder=True)
    folders, parent = _grouped("Accounts", [account.id for account in accounts])
    yield from folders
    for account in accounts:
        yield from _account_nodes(account, parent[account.id])

    yield ObjectNode("Machines", "", "Machines", description="One object per machine", folder=True)
    folders, parent = _grouped("Machines", [machine.id for machine in plant.machines])
    yield from folders
    for machine in plant.machines:
        yield from _machine_nodes(machine, parent[machine.id])


def _account_nodes(account: Account, parent: str) -> Iterator[Node]:
    top = account_node_id(account.id)
    last = account_node_id(account.id, "LastTransfer")
    yield ObjectNode(top, parent, account.id, account.name, f"An account in {account.currency.name}")
    yield ObjectNode(last, top, "LastTransfer", description="The latest transfer", link=Link.COMPONENT)
    for variable in ACCOUNT_VARIABLES:
        inside, _, name = variable.path.rpartition(".")
        yield VariableNode(
            account_node_id(account.id, variable.path),
            last if inside else top,
            name,
            variable.type,
            variable.description,
            currency=account.currency if variable.money else None,
        )
    for name, inputs, description in (
        ("Pay", PAY, "Pay from this account. Call again with the same RequestId and nothing moves twice"),
        ("PayDecimal", PAY_DECIMAL, "As Pay, the amount as text: for controllers without 64-bit integers"),
        ("GetStatus", GET_STATUS, "What became of a payment from this account"),
    ):
        yield MethodNode(account_node_id(account.id, name), top, name, description, inputs, _RESULT)


def _machine_nodes(machine: MachineNode, parent: str) -> Iterator[Node]:
    top = machine_node_id(machine.id)
    yield ObjectNode(top, parent, machine.id, machine.name, "A machine that earns and spends")
    for name, value in (
        ("Manufacturer", machine.manufacturer),
        ("Model", machine.model),
        ("SerialNumber", machine.serial),
    ):
        yield VariableNode(machine_node_id(machine.id, name), top, name, _T.STRING, value=value, link=Link.PROPERTY)
    yield VariableNode(
        machine_node_id(machine.id, "Account"),
        top,
        "Account",
        _T.STRING,
        "The account it earns on; empty when it has none",
        value=machine.account or "",
    )
    for name, type_, description in (
        ("Connected", _T.BOOLEAN, "Whether any of its tags can be read"),
        ("Quality", _T.STRING, "good, or the worst of its tags and why"),
    ):
        yield VariableNode(machine_node_id(machine.id, name), top, name, type_, description)
    tags = node_id("Machines", machine.id, "Tags")
    yield ObjectNode(tags, top, "Tags", description="Live values", link=Link.COMPONENT, folder=True)
    folders, parents = _grouped(tags, [tag.name for tag in machine.tags])
    yield from folders
    for tag in machine.tags:
        yield VariableNode(
            tag_node_id(TagId(f"{machine.id}.{tag.name}")), parents[tag.name], tag.name, tag.type, unit=tag.unit
        )


def _grouped(folder: str, names: Sequence[str]) -> tuple[list[ObjectNode], dict[str, str]]:
    """The group folders that are needed, and the parent of each name; no folder gets over CHILDREN_MAX children."""
    if len(names) <= CHILDREN_MAX:
        return [], dict.fromkeys(names, folder)
    size = CHILDREN_MAX
    while size * CHILDREN_MAX < len(names):
        size *= CHILDREN_MAX
    folders: list[ObjectNode] = []
    parent: dict[str, str] = {}
    for start in range(0, len(names), size):
        part = names[start : start + size]
        group = f"{folder}:{start + 1}"
        title = f"{part[0]} … {part[-1]}"
        folders.append(ObjectNode(group, folder, f"{start + 1}-{start + len(part)}", title, folder=True))
        inner_folders, inner_parent = _grouped(group, part)
        folders += inner_folders
        parent |= inner_parent
    return folders, parent
