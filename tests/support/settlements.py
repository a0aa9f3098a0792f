"""A robot cell on a real book: readings in, money out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from zoneinfo import ZoneInfo

from ledgers import Book, account

from core.clock import SECOND, Instant
from core.money import SEK
from core.quantity import UNITS, Unit, parse_unit
from core.sample import Quality, Sample, TagId, Value
from ledger.account import AccountId
from settlement.agreement import Agreement, Source, SourceKind
from settlement.charge import Conditions
from settlement.engine import Absorbed, Engine
from settlement.meter import Counter, Meter, RunningTime
from settlement.names import Name, NameKind
from settlement.prices import PriceSeries
from settlement.tariff import TariffSettings, compile_tariff

NOON = Instant(1_795_000_000 * SECOND)
ZONE = ZoneInfo("Europe/Stockholm")

METERS: tuple[Meter, ...] = (
    Counter(TagId("cell.parts"), UNITS["pieces"], max_rate=Decimal(1000)),
    Counter(TagId("cell.energy"), UNITS["Wh"], max_rate=Decimal(1000)),
    RunningTime(TagId("cell.running")),
)
GAUGES: Mapping[str, Unit] = {"rpm": UNITS["rpm"], "temperature": UNITS["°C"]}


def agreement(name: str, charge: str, payer: str = "line", payee: str = "cell", **prices: str) -> Agreement:
    """An agreement whose tariff may use the cell's tags, and prices given as name=unit."""
    sources = {meter.tag.partition(".")[2]: Source(SourceKind.METER, meter.tag) for meter in METERS}
    names = {meter.tag.partition(".")[2]: Name(NameKind.USAGE, meter.unit) for meter in METERS}
    for gauge, unit in GAUGES.items():
        sources[gauge], names[gauge] = Source(SourceKind.TAG, f"cell.{gauge}"), Name(NameKind.VALUE, unit)
    for price, symbol in prices.items():
        sources[price], names[price] = Source(SourceKind.PRICE, price), Name(NameKind.VALUE, parse_unit(symbol))
    tariff, problems = compile_tariff(name, TariffSettings(charge=charge), names.get, SEK)
    assert tariff is not None, problems
    used = {name: sources.get(name) or Source(SourceKind.TIME, name) for name in tariff.inputs}
    return Agreement(name, AccountId(payer), AccountId(payee), SEK, tariff, used)


def sample(tag: str, seconds: float, value: Value) -> Sample:
    """A reading so many seconds after noon; None is a bad one."""
    at = Instant(NOON + round(seconds * SECOND))
    quality = Quality.GOOD if value is not None else Quality.BAD
    return Sample(TagId(f"cell.{tag}"), value, quality, at, at, "" if value is not None else "no answer")


@dataclass
class Cell:
    """An engine on a book with the accounts `line`, which has a floor, and `cell`."""

    book: Book
    agreements: tuple[Agreement, ...]
    prices: Mapping[str, PriceSeries] = field(default_factory=dict)
    floor: str = "-1000 kr"

    def __post_init__(self) -> None:
        self.book.open(account("line", self.floor), account("cell", "-1000 kr"))
        self.engine = self.fresh_engine()

    def fresh_engine(self, gateway: str = "main") -> Engine:
        """As after a restart: nothing in memory."""
        return Engine("test", METERS, self.agreements, Conditions({}, self.prices, ZONE), gateway)

    def absorb(self, *samples: Sample) -> Absorbed:
        return self.book.writer.submit(self.engine.absorb(samples)).result(10)

    @property
    def earned(self) -> str:
        return self.book.balance("cell")
