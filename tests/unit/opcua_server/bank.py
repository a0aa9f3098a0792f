"""What the tests of this server share: a small honest desk, a plant, users, and a bank to start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from argon2 import PasswordHasher
from asyncua import Client

from core.clock import Instant, ManualClock
from core.ids import TransferId
from core.money import SEK, Money
from core.quantity import UNITS
from ledger.account import Account, AccountId, PartyId
from ledger.balance import AccountStatus
from ledger.transfer import AlreadyPosted, Outcome, Posted, Reason, Refused, Transfer, TransferRequest
from opcua_server.address_space import MachineNode, Plant, TagNode, ValueType
from opcua_server.security import Caller, Role, User
from opcua_server.server import BankServer
from opcua_server.settings import OpcUaServerSettings

NOW = Instant(1_780_000_000_000_000)
DEADLINE_SECONDS = 5.0
_QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
ON_A_FREE_PORT = OpcUaServerSettings(endpoint="opc.tcp://127.0.0.1:0")


def status(id: str, balance: str, seq: int = 1, floor: str = "-5000 kr") -> AccountStatus:
    account = Account(AccountId(id), id.upper(), PartyId("movers"), Money.parse(floor))
    return AccountStatus(account, Money.parse(balance), Money.zero(SEK), seq)


@dataclass
class Desk:
    """A ledger in a dict: posts each id once, refuses what the real one refuses."""

    accounts: dict[AccountId, Money]
    transfers: dict[TransferId, Transfer] = field(default_factory=dict)
    failure: Exception | None = None

    async def post(self, request: TransferRequest) -> Outcome:
        if self.failure is not None:
            raise self.failure
        known = self.transfers.get(request.id)
        if known is not None:
            if known.request.same_content(request):
                return AlreadyPosted(known)
            return Refused(request, Reason.CONFLICT, "the id was used for another payment")
        if request.credit not in self.accounts:
            return Refused(request, Reason.UNKNOWN_CREDIT_ACCOUNT, f"there is no account {request.credit!r}")
        if request.amount.units <= 0:
            return Refused(request, Reason.INVALID_AMOUNT, f"expected an amount above zero, got {request.amount}")
        self.accounts[request.debit] -= request.amount
        self.accounts[request.credit] += request.amount
        transfer = Transfer(request, len(self.transfers) + 1, 0, NOW)
        self.transfers[request.id] = transfer
        return Posted(transfer)

    async def find(self, id: TransferId) -> Transfer | None:
        if self.failure is not None:
            raise self.failure
        return self.transfers.get(id)


ACCOUNTS = (status("facade-1", "1000 kr"), status("agv-7", "250.50 kr"))
PLANT = Plant(
    "Smarta Fabriken",
    (
        MachineNode(
            "agv-7",
            "AGV 7",
            (
                TagNode("odometer", ValueType.DOUBLE, UNITS["m"]),
                TagNode("moving", ValueType.BOOLEAN),
                TagNode("parts", ValueType.INT64, UNITS["pieces"]),
            ),
            "Robotbolaget",
            "Truck 400",
            "AGV-0007",
            AccountId("agv-7"),
        ),
    ),
    {PartyId("movers"): "Intern Transport AB"},
)


def _user(name: str, role: Role, *pays_from: str) -> User:
    return User(Caller(name, role, frozenset(map(AccountId, pays_from))), _QUICK.hash(f"{name}-secret"))


@cache
def users() -> tuple[User, ...]:
    """anna pays from facade-1, bo from nothing, cia only looks; the password is the name and -secret."""
    return (_user("anna", Role.OPERATOR, "facade-1"), _user("bo", Role.OPERATOR), _user("cia", Role.OBSERVER))


@dataclass
class Bank:
    """The server, the desk behind it, and clients by the door."""

    server: BankServer
    desk: Desk
    clock: ManualClock

    def client(self, user: str = "", password: str = "") -> Client:
        client = Client(self.server.endpoint, timeout=DEADLINE_SECONDS)
        if user:
            client.set_user(user)
            client.set_password(password or f"{user}-secret")
        return client


def make_bank(settings: OpcUaServerSettings = ON_A_FREE_PORT, plant: Plant = PLANT) -> Bank:
    clock = ManualClock(NOW)
    desk = Desk({status.account.id: status.balance for status in ACCOUNTS})
    return Bank(BankServer(settings, users(), plant, desk, clock), desk, clock)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; TimeoutError after the deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110  # what is waited for lives in another client
            await asyncio.sleep(0.01)
