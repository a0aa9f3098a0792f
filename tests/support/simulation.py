"""The whole money path in one process: a simulated plant, the settlement engine, the writer and a real database that
fails as often as it is told to. Everything follows from two seeds, one of the plant and one of the faults."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any

from sqlalchemy import text

import settlement.verification
from core.clock import SECOND, Instant, ManualClock
from core.errors import OutcomeUnknown, Unavailable
from core.ids import derived_id
from core.money import SEK, Money
from ledger import holds
from ledger.account import Account, AccountId, Party, PartyId
from ledger.batch import Batch
from ledger.database import Engine, open_engine, reading
from ledger.hold import NEVER, Hold, HoldRefused
from ledger.holds import CaptureRequest
from ledger.operations import Reader, open_accounts
from ledger.transfer import Reason, Refused, TransferRequest
from ledger.writer import Work, Writer
from migrations import upgrade
from tests.support import simulated_plant
from tests.support.faulty_database import FaultyDatabase, Moment
from tests.support.simulated_plant import AGREEMENTS, MORNING, UNITS_PER_KRONA, SimulatedPlant, Tick

BOOK = "simulated"
QUEUE_LENGTH = 16
ANSWER_SECONDS_MAX = 30.0
FAULT_SHARE = 0.5
"""Of the attempts, those that meet a fault."""
STATEMENTS = 20
"""About as many as a batch has."""
OWNER = Party(PartyId("plant"), "Plant AB")
HELD_UNITS = 3 * UNITS_PER_KRONA
PAID = (
    "SELECT source, account_id, sum(amount) FROM transfer t JOIN account a ON a.book_id = t.book_id "
    "AND a.account_no = t.debit WHERE source <> '' GROUP BY source, account_id"
)
FLOORS = {"customer": -(10**9), "line": -(10**9), "press": -(10**6), "robot": -(10**6), "energy": -(10**6), "gate": 0}
ACCOUNTS = tuple(
    Account(AccountId(name), name.title(), OWNER.id, Money.parse(f"{floor} kr"))
    for name, floor in {**FLOORS, "poor": 0, "purse": -(10**6)}.items()
)


class Fault(Enum):
    """What the database does to one attempt."""

    BEGIN = "cannot begin"
    STATEMENT = "a statement fails"
    COMMIT = "the commit fails"
    ANSWER = "the commit is kept and its answer is lost"
    QUEUE = "the queue is full"
    LOST_COMMIT = "the commit fails, and then nobody answers"
    LOST_ANSWER = "the commit is kept, and then nobody answers"


TOLD = (Fault.BEGIN, Fault.STATEMENT, Fault.COMMIT, Fault.ANSWER, Fault.QUEUE)
"""Faults after which it is known what the book holds."""
MOMENTS = {
    Fault.BEGIN: (Moment.STATEMENT, 0),
    Fault.STATEMENT: (Moment.STATEMENT, 0),
    Fault.COMMIT: (Moment.COMMIT, 0),
    Fault.ANSWER: (Moment.ANSWER, 0),
    Fault.LOST_COMMIT: (Moment.COMMIT, 1),
    Fault.LOST_ANSWER: (Moment.ANSWER, 1),
}
"""When these strike, and how many connections are refused then."""
UNKNOWN = (Fault.LOST_COMMIT, Fault.LOST_ANSWER)


@dataclass(frozen=True, slots=True)
class Ending:
    """What a simulation came to."""

    seq: int
    head: bytes
    paid: dict[str, int]
    """What each agreement paid, net, in ledger units."""
    balances: dict[str, int]
    faults: tuple[str, ...]
    """What the auditors found."""
    struck: Counter[Fault]
    """The faults that the database really met."""


class Simulation:
    """Drives one plant through one database, a tick at a time: no other thread decides what comes next."""

    def __init__(self, url: str, plant: SimulatedPlant, seed: int, faults: Sequence[Fault] = ()) -> None:
        self.struck: Counter[Fault] = Counter()
        self._url = url
        self._plant = plant
        self._faults = faults
        self._fate = Random(f"faults {seed}")
        self._desk = Random(f"desk {seed}")
        self._clock = ManualClock(MORNING)
        self._desk_moved: Counter[str] = Counter()
        self._payments: dict[int, int] = {}
        self._last_payment: int | None = None
        self._held: int | None = None

    def run(self) -> Ending:
        with self._open() as engine:
            self._database = FaultyDatabase(engine)
            self._start(engine)
            try:
                for number, tick in enumerate(self._plant.ticks):
                    self._clock.advance(tick.microseconds)
                    if tick.restart:
                        self._restart(engine)
                    self._ask(tick, self._desk_works(number))
                last = Tick(SECOND, (), False)
                self._ask(last, [self._pay(len(self._plant.ticks), "customer", "poor", 10**5 * UNITS_PER_KRONA)])
                self._ask(last, [])
            finally:
                self._writer.stop()
            return self._ending(engine)

    @contextmanager
    def _open(self) -> Iterator[Engine]:
        engine = open_engine(self._url)
        try:
            upgrade(engine)
            yield engine
        finally:
            engine.dispose()

    def _start(self, engine: Engine) -> None:
        self._writer = Writer(engine, BOOK, self._clock, queue_length_max=QUEUE_LENGTH)
        self._writer.start()
        self._settling = simulated_plant.engine(BOOK)
        self._writer.submit(open_accounts([OWNER], ACCOUNTS)).result(ANSWER_SECONDS_MAX)
        self._writer.submit(self._settling.begin()).result(ANSWER_SECONDS_MAX)

    def _restart(self, engine: Engine) -> None:
        self._writer.stop()
        self._start(engine)

    def _ask(self, tick: Tick, desk: Sequence[Work[Any]]) -> None:
        """Ask for one piece of work after the other, each until it is answered: with the same samples and the same
        ids, as the pipeline and the desk do."""
        self._writer.submit(lambda batch: None).result(ANSWER_SECONDS_MAX)  # holds that expired get their own batch
        while isinstance(self._attempt(self._settling.absorb(tick.samples)), Exception):
            self._settling.forget()
        for work in desk:
            while isinstance(answered := self._attempt(work), Exception):
                pass
            refused = [each for each in answered if isinstance(each, (Refused, HoldRefused))]
            assert all(each.reason is Reason.EXPIRY_HAS_PASSED for each in refused)  # once the clock was set back

    def _attempt(self, work: Work[Any]) -> Any:
        """The answer, or why there is none; then it was a fault that was planted."""
        fault = None
        if self._faults and self._fate.random() < FAULT_SHARE:
            fault = self._fate.choice(self._faults)
        try:
            with self._meeting(fault):
                return self._writer.submit(work).result(ANSWER_SECONDS_MAX)
        except (Unavailable, OutcomeUnknown) as problem:
            if fault is None:
                raise
            return problem

    @contextmanager
    def _meeting(self, fault: Fault | None) -> Iterator[None]:
        """What is asked inside meets the fault."""
        before = self._database.struck.total()
        gate = threading.Event()
        filling: list[Future[None]] = []
        if fault is Fault.QUEUE:
            self.struck[fault] += 1
            filling = self._fill(gate)
        elif fault is not None:
            moment, refused = MOMENTS[fault]
            after = self._fate.randrange(STATEMENTS) if fault is Fault.STATEMENT else 0
            self._database.fail(moment, after, refused)
        try:
            yield
        finally:
            gate.set()
            for each in filling:
                each.result(ANSWER_SECONDS_MAX)
            self._database.heal()
            if fault is not None:
                self.struck[fault] += self._database.struck.total() - before

    def _fill(self, gate: threading.Event) -> list[Future[None]]:
        """Queue work until no more is taken, and let none be done until the gate opens."""
        entered = threading.Event()

        def wait(batch: Batch) -> None:
            entered.set()
            gate.wait(ANSWER_SECONDS_MAX)

        filling = [self._writer.submit(wait)]
        assert entered.wait(ANSWER_SECONDS_MAX)
        return filling + [self._writer.submit(lambda batch: None) for _ in range(QUEUE_LENGTH)]

    def _desk_works(self, number: int) -> list[Work[Any]]:
        """What people ask for beside the machines."""
        works: list[Work[Any]] = []
        random = self._desk
        if random.random() < 0.4:
            works.append(self._pay(number, "purse", "customer", random.randrange(1, 10**9)))
            self._last_payment = number
        elif self._last_payment is not None and random.random() < 0.2:
            works.append(self._reverse(number, self._last_payment))
            self._last_payment = None
        if random.random() < 0.3:
            works.append(self._pay(number, "customer", "poor", random.randrange(1, 60) * UNITS_PER_KRONA))
        if random.random() < 0.2:
            works.append(self._hold(number, Instant(self._clock.now() + random.randrange(3, 60) * SECOND)))
        if self._held is None and random.random() < 0.2:
            works.append(self._hold(number, NEVER))
            self._held = number
        elif self._held is not None and random.random() < 0.5:
            works.append(self._capture(number, self._held))
            self._held = None
        return works

    def _pay(self, number: int, debit: str, credit: str, units: int) -> Work[Any]:
        self._move(debit, credit, units)
        if debit == "purse":
            self._payments[number] = units
        id = derived_id("pay", debit, str(number))
        request = TransferRequest(id, AccountId(debit), AccountId(credit), Money(units, SEK), self._clock.now())
        return lambda batch: batch.post([request])

    def _reverse(self, number: int, payment: int) -> Work[Any]:
        self._move("customer", "purse", self._payments[payment])
        original, now = derived_id("pay", "purse", str(payment)), self._clock.now()
        return lambda batch: [batch.reverse(derived_id("reverse", str(number)), original, now)]

    def _hold(self, number: int, expires: Instant) -> Work[Any]:
        id = derived_id("hold", str(number), str(expires == NEVER))
        amount = Money(HELD_UNITS, SEK)
        request = TransferRequest(id, AccountId("purse"), AccountId("gate"), amount, self._clock.now())
        return lambda batch: [holds.place(batch, Hold(request, expires))]

    def _capture(self, number: int, hold: int) -> Work[Any]:
        self._move("purse", "gate", HELD_UNITS)
        ids = [derived_id("capture", str(number), part) for part in ("a part", "the rest")]
        of, part, now = derived_id("hold", str(hold), "True"), Money(HELD_UNITS // 3, SEK), self._clock.now()
        return lambda batch: [
            holds.capture(batch, CaptureRequest(ids[0], of, now, part)),
            holds.capture(batch, CaptureRequest(ids[1], of, now)),
        ]

    def _move(self, debit: str, credit: str, units: int) -> None:
        self._desk_moved[debit] -= units
        self._desk_moved[credit] += units

    def _ending(self, engine: Engine) -> Ending:
        reader = Reader(engine, BOOK, (settlement.verification.verify,))
        overview = reader.overview()
        with reading(engine) as connection:
            rows = connection.execute(text(PAID)).all()
        paid = dict.fromkeys(AGREEMENTS, 0)
        for source, debit, units in rows:
            agreement = source.removeprefix("agreement:")
            paid[agreement] += units if debit == AGREEMENTS[agreement][0] else -units
        return Ending(
            overview.head.seq,
            overview.head.hash,
            paid,
            {status.account.id: status.balance.units for status in overview.statuses},
            reader.verify().faults,
            self.struck,
        )

    def expected_balances(self) -> dict[str, int]:
        """Every account's balance when each agreement has paid what is owed and each payment was made once."""
        balances = Counter(self._desk_moved)
        for agreement, units in self._plant.owed.items():
            payer, payee, _ = AGREEMENTS[agreement]
            balances[payer] -= units
            balances[payee] += units
        return {account.id: balances[account.id] for account in ACCOUNTS}
