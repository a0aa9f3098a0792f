"""A factory that exists only as numbers from a seed: what its machines say, tick by tick, and what is owed for it.

What is owed is worked out here from what the machines did, not from the product's own meters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

from core.clock import SECOND, Instant, ManualClock
from core.money import SEK
from core.quantity import UNITS, Unit
from core.sample import Quality, Sample, TagId, Value
from ledger.account import AccountId
from settlement.agreement import Agreement, Source, SourceKind
from settlement.charge import Conditions
from settlement.engine import Engine
from settlement.meter import Counter, Edges, Integral, Meter, RunningTime
from settlement.names import TIME_NAMES, Name, NameKind
from settlement.tariff import TariffSettings, compile_tariff

MORNING = Instant(1_795_000_000 * SECOND)
ZONE = ZoneInfo("Europe/Stockholm")
GAP_SECONDS_MAX = 10
"""Over a longer silence a duration and an integral count nothing."""
BAD_SHARE, MISSING_SHARE, GLITCH_SHARE, RESET_SHARE = 0.08, 0.05, 0.03, 0.04
"""Of a tag's readings."""
SILENCE_SHARE, BACKLOG_SHARE, RESTART_SHARE = 0.03, 0.2, 0.05
"""Of the ticks: nothing is read for long, what is read is delivered later, a new process."""
BACKLOGS = (2, 2, 3, 15)
"""How many ticks are delivered together then."""
QUIET_TICKS = 12
"""At the end nothing happens but work, so that every doubt is settled."""

PARTS, ENERGY, RUNNING, PASSED, HEAT = map(
    TagId, ("press.parts", "oven.energy", "robot.running", "gate.passed", "oven.heat")
)
RPM = TagId("press.rpm")
MODULUS = 2**16
METERS: tuple[Meter, ...] = (
    Counter(PARTS, UNITS["pieces"], max_rate=Decimal(50), modulus=Decimal(MODULUS)),
    Counter(ENERGY, UNITS["Wh"], max_rate=Decimal(100)),
    RunningTime(RUNNING),
    Edges(PASSED),
    Integral(HEAT, UNITS["kW"]),
)

AGREEMENTS: Mapping[str, tuple[str, str, str]] = {
    "work": ("line", "press", "9 * parts"),
    "sale": ("customer", "line", "185.5 * parts + 0.5 * passed"),
    "wear": ("line", "press", "rpm / 1 * parts"),
    "power": ("press", "energy", "0.00045 * energy"),
    "refund": ("press", "energy", "-0.0001 * energy"),
    "rent": ("line", "robot", "0.0075 * running"),
    "toll": ("robot", "gate", "1.5 * passed"),
    "heating": ("press", "energy", "0.002 * heat"),
    "all-day": ("line", "press", "4 * parts if hour < 24 else 0 * parts"),
    "pocket-money": ("poor", "press", "3 * parts"),
}
"""Each agreement's payer, payee and charge; whatever the time and the rpm, a count costs the same."""
PRICES: Mapping[str, Mapping[TagId, Decimal]] = {
    "work": {PARTS: Decimal(9)},
    "sale": {PARTS: Decimal("185.5"), PASSED: Decimal("0.5")},
    "wear": {PARTS: Decimal(2)},
    "power": {ENERGY: Decimal("0.00045")},
    "refund": {ENERGY: Decimal("-0.0001")},
    "rent": {RUNNING: Decimal("0.0075")},
    "toll": {PASSED: Decimal("1.5")},
    "heating": {HEAT: Decimal("0.002")},
    "all-day": {PARTS: Decimal(4)},
    "pocket-money": {PARTS: Decimal(3)},
}
"""What one count of each meter costs in kronor, as somebody reads it who does not trust the parser."""
UNITS_PER_KRONA = 10**8
RPM_WHEN_GOOD = Decimal(2)


def engine(book: str) -> Engine:
    """A settlement engine with nothing in its memory, as after a start."""
    return Engine(book, METERS, [_agreement(name, *terms) for name, terms in AGREEMENTS.items()], _conditions())


def _conditions() -> Conditions:
    return Conditions({}, {}, ZONE)


def _agreement(name: str, payer: str, payee: str, charge: str) -> Agreement:
    names = {_short(meter.tag): Name(NameKind.USAGE, meter.unit) for meter in METERS}
    sources = {_short(meter.tag): Source(SourceKind.METER, meter.tag) for meter in METERS}
    names[_short(RPM)], sources[_short(RPM)] = Name(NameKind.VALUE, _rpm()), Source(SourceKind.TAG, RPM)
    tariff, problems = compile_tariff(name, TariffSettings(charge=charge), names.get, SEK)
    assert tariff is not None, problems
    sources |= {each: Source(SourceKind.TIME, each) for each in TIME_NAMES}
    used = {each: sources[each] for each in tariff.inputs}
    return Agreement(name, AccountId(payer), AccountId(payee), SEK, tariff, used)


def _short(tag: TagId) -> str:
    return tag.partition(".")[2]


def _rpm() -> Unit:
    return UNITS["rpm"]


@dataclass(frozen=True, slots=True)
class Tick:
    """What happens next: so much time passes, and these samples arrive together."""

    microseconds: int
    samples: tuple[Sample, ...]
    restart: bool


@dataclass
class Machine:
    """One tag of a machine: what it shows from tick to tick, and what may be billed of it."""

    tag: TagId
    move: Callable[[Random, int], Value]
    """What it shows after so many microseconds."""
    count: Callable[[Value, int, Value], Decimal]
    """What may be billed between two good readings so many microseconds apart."""
    billed: Decimal = Decimal(0)
    last: tuple[Value, Instant] | None = None
    is_sure: bool = True

    def read(self, random: Random, at: Instant, passed: int, is_quiet: bool) -> Sample | None:
        value = self.move(random, passed)
        fate = 1.0 if is_quiet else random.random()
        if fate < MISSING_SHARE:
            return None
        if fate < MISSING_SHARE + BAD_SHARE:
            return Sample(self.tag, None, Quality.BAD, at, at, "no answer")
        if self.last is not None:
            self.billed += self.count(self.last[0], at - self.last[1], value)
        self.last = (value, at)
        return Sample(self.tag, value, Quality.GOOD, at, at)


@dataclass
class Register:
    """A counter in a device: it rolls over or loses its memory, and now and then it is misread."""

    tag: TagId
    shown: int
    step_max: int
    """Counts in one second, at most."""
    modulus: int | None = None
    billed: Decimal = Decimal(0)
    _last: int | None = None
    _sure_after: int = 3
    """Good readings until a misreading or a reset would not be mixed up with another one."""

    @property
    def is_sure(self) -> bool:
        """Whether no reset can be in doubt any more."""
        return self._sure_after < 8

    def read(self, random: Random, at: Instant, passed: int, is_quiet: bool) -> Sample | None:
        counts = random.randint(0 if not is_quiet else 1, self.step_max) * max(passed // SECOND, 1)
        self.shown += counts
        if self.modulus is not None:
            self.shown %= self.modulus
        fate = 1.0 if is_quiet else random.random()
        may_err = self._sure_after == 0
        is_turning = self.modulus is not None and not 1_000 < self.shown < self.modulus - 1_000
        if may_err and self.modulus is None and fate < RESET_SHARE and self.shown > 2_000:
            self.shown = random.randint(0, 3)  # switched off and on; what was counted since the last reading is lost
            self._last, self._sure_after = None, 20
        elif fate < RESET_SHARE + MISSING_SHARE:
            return None
        elif fate < RESET_SHARE + MISSING_SHARE + BAD_SHARE:
            return Sample(self.tag, None, Quality.BAD, at, at, "no answer")
        elif may_err and not is_turning and fate < RESET_SHARE + MISSING_SHARE + BAD_SHARE + GLITCH_SHARE:
            self._sure_after = 4
            return Sample(self.tag, self.shown + 10_000_000, Quality.GOOD, at, at)
        if self._last is not None:
            change = self.shown - self._last
            self.billed += change if self.modulus is None else change % self.modulus
        self._last = self.shown
        self._sure_after = max(0, self._sure_after - 1)
        return Sample(self.tag, self.shown, Quality.GOOD, at, at)


def _while_on(before: Value, microseconds: int, _now: Value) -> Decimal:
    if not 0 <= microseconds <= GAP_SECONDS_MAX * SECOND:
        return Decimal(0)
    assert before is not None
    return Decimal(before) * microseconds / SECOND


def _turned_on(before: Value, _microseconds: int, now: Value) -> Decimal:
    return Decimal(bool(now) and not before)


def _any_of(*values: Value) -> Callable[[Random, int], Value]:
    return lambda random, _: random.choice(values)


@dataclass
class SimulatedPlant:
    """Its ticks, and what each agreement must have paid in the end, in ledger units."""

    ticks: list[Tick]
    owed: Mapping[str, int]

    @classmethod
    def of(cls, seed: int, ticks: int, set_back_share: float = 0.0) -> SimulatedPlant:
        """The same for the same seed. At that share of the ticks the clock is set back."""
        random = Random(f"plant {seed}")
        machines: list[Register | Machine] = [
            Register(PARTS, MODULUS - random.randint(1, 300), 20, MODULUS),
            Register(ENERGY, 50_000, 40),
            Machine(RUNNING, _any_of(True, False), _while_on),
            Machine(PASSED, _any_of(True, False), _turned_on),
            Machine(HEAT, _any_of(Decimal("0.25"), Decimal("12.5"), Decimal(0)), _while_on),
        ]
        told = list(_told(random, ticks, machines, set_back_share))
        billed = {machine.tag: machine.billed for machine in machines}
        return cls(told, {agreement: _owed(prices, billed) for agreement, prices in PRICES.items()})


def _told(random: Random, ticks: int, machines: Sequence[Register | Machine], set_back_share: float) -> Iterator[Tick]:
    clock = ManualClock(MORNING)
    waiting: list[Sample] = []
    backlog = 0
    for number in range(ticks):
        is_quiet = number >= ticks - QUIET_TICKS
        passed = random.choice([SECOND // 2, SECOND, 2 * SECOND])
        step = passed
        fate = 0.5 if is_quiet or waiting else random.random()
        restart = False
        if fate < SILENCE_SHARE:
            step = passed = random.randint(15, 120) * SECOND
        elif fate < SILENCE_SHARE + set_back_share and all(machine.is_sure for machine in machines):
            # All is read just before and twice after, so that no other doubt mixes in.
            for quiet_step in (SECOND, -random.randint(600, 4000) * SECOND):
                yield Tick(quiet_step, _read(random, clock.advance(quiet_step), SECOND, True, machines, ()), False)
            is_quiet, step, passed = True, SECOND, SECOND
        elif fate > 1 - RESTART_SHARE:
            # A new process does not know how long ago a silence was: all is read twice before.
            for _ in range(2):
                yield Tick(SECOND, _read(random, clock.advance(SECOND), SECOND, True, machines, ()), False)
            restart = True
        waiting = list(_read(random, clock.advance(step), passed, is_quiet, machines, waiting))
        if not backlog and random.random() < BACKLOG_SHARE:
            backlog = random.choice(BACKLOGS)
        backlog = 0 if is_quiet else max(0, backlog - 1)
        if backlog:
            yield Tick(step, (), restart)
        else:
            yield Tick(step, tuple(waiting), restart)
            waiting = []


def _read(
    random: Random,
    at: Instant,
    passed: int,
    is_quiet: bool,
    machines: Sequence[Register | Machine],
    waiting: Sequence[Sample],
) -> tuple[Sample, ...]:
    samples = [each.read(random, at, passed, is_quiet) for each in machines]
    rpm = Sample(RPM, RPM_WHEN_GOOD, Quality.GOOD, at, at)
    if not is_quiet and random.random() < BAD_SHARE:
        rpm = Sample(RPM, None, Quality.BAD, at, at, "no answer")
    return (*waiting, *(sample for sample in samples if sample is not None), rpm)


def _owed(prices: Mapping[TagId, Decimal], billed: Mapping[TagId, Decimal]) -> int:
    exact = sum((price * billed[tag] for tag, price in prices.items()), Decimal(0)) * UNITS_PER_KRONA
    assert exact == int(exact)
    return int(exact)
