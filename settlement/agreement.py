"""Who pays whom for what: one agreement, and where its billing stands; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from core.clock import EPOCH, Instant
from core.exact import EXACT
from core.money import Currency
from core.sample import TagId
from ledger.account import AccountId
from settlement.tariff import Tariff


class SourceKind(StrEnum):
    """Where a tariff's name takes its number from."""

    METER = "meter"
    TAG = "tag"
    PRICE = "price"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Source:
    """What a name in a tariff stands for: a meter's usage, a tag's value, a price of the instant, or the time."""

    kind: SourceKind
    name: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """The payer pays the payee for the usage of the meters that its tariff names."""

    id: str
    payer: AccountId
    payee: AccountId
    currency: Currency
    tariff: Tariff
    sources: Mapping[str, Source]
    meters: tuple[TagId, ...] = field(init=False)

    def __post_init__(self) -> None:
        named = {TagId(source.name): None for source in self.sources.values() if source.kind is SourceKind.METER}
        object.__setattr__(self, "meters", tuple(named))

    @property
    def terms(self) -> Terms:
        return Terms(self.payer, self.payee, self.currency.code)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an agreement can never change: debts and running sums are between these two, in this currency."""

    payer: AccountId
    payee: AccountId
    currency: str

    def __str__(self) -> str:
        return f"{self.payer} pays {self.payee} in {self.currency}"


@dataclass(frozen=True, slots=True)
class AgreementState:
    """Where the billing of an agreement stands.

    `cursors` is each meter's total up to which was priced, `charged` the exact running sum of prices in whole
    currency, `settled` the ledger units that were transferred, `time` where what is not priced yet begins. What is owed
    is the difference of the rounded running sum, so that no number of small steps drifts; a payment that was
    refused stays owed.
    """

    number: int = 0
    cursors: Mapping[TagId, Decimal] = field(default_factory=dict)
    charged: Decimal = Decimal(0)
    settled: int = 0
    time: Instant = EPOCH

    def same_position(self, other: AgreementState) -> bool:
        """Whether nothing that must survive a restart differs; time alone may pass unsaved."""
        return (
            self.number == other.number
            and self.settled == other.settled
            and self.charged == other.charged
            and self.cursors == other.cursors
        )

    @property
    def is_counting(self) -> bool:
        """Whether it knows from where on it bills; not before it has begun, nor while no plant file names it."""
        return bool(self.cursors)

    def usage(self, totals: Mapping[TagId, Decimal]) -> dict[TagId, Decimal]:
        """What each meter counted since it was last priced."""
        return {meter: EXACT.subtract(total, self.cursors.get(meter, total)) for meter, total in totals.items()}
