"""Readings become money: once, in full, and never before it can be priced."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from faulty_database import FaultyDatabase, Moment
from ledgers import Book, account, open_book
from settlements import METERS, NOON, ZONE, Cell, agreement, sample

from core.clock import to_datetime
from core.errors import OutcomeUnknown, Rejected, Unavailable
from core.quantity import UNITS
from core.sample import TagId
from ledger.batch import Batch
from ledger.database import reading
from settlement import store
from settlement.meter import Condition, Counter
from settlement.prices import load_price_csv


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with open_book(tmp_path / "book.db") as opened:
        yield opened


def test_what_is_counted_is_paid_for(book: Book) -> None:
    cell = Cell(book, (agreement("work", "9 * parts"),))
    cell.absorb(sample("parts", 0, 100))
    cell.absorb(sample("parts", 1, 103), sample("parts", 2, 104))
    assert cell.earned == "36.00 SEK"
    (transfer,) = book.reader.statement(account("cell").id)
    assert transfer.request.text == "4 pieces cell.parts"
    assert transfer.request.source == "agreement:work"


def test_what_was_counted_before_the_first_reading_is_not_billed(book: Book) -> None:
    cell = Cell(book, (agreement("work", "9 * parts"),))
    cell.absorb(sample("parts", 0, 100_000))
    assert cell.earned == "0.00 SEK"


def test_small_steps_never_drift(book: Book) -> None:
    """0.0021 öre a step, far below what the ledger shows: many steps cost what one big one costs."""
    cell = Cell(book, (agreement("work", "0.000000033 * energy"),), floor="-1 kr")
    cell.absorb(sample("energy", 0, 0))
    for step in range(1, 301):
        cell.absorb(sample("energy", step, step))
    assert cell.earned == "0.0000099 SEK"


def test_a_restart_bills_what_was_counted_meanwhile_once(book: Book) -> None:
    cell = Cell(book, (agreement("work", "9 * parts"),))
    cell.absorb(sample("parts", 0, 100))
    cell.absorb(sample("parts", 1, 102))
    cell.engine = cell.fresh_engine()
    cell.absorb(sample("parts", 60, 112))
    cell.engine = cell.fresh_engine()
    cell.absorb(sample("parts", 61, 112))
    assert cell.earned == "108.00 SEK"


def test_a_batch_that_was_not_kept_is_settled_when_it_comes_again(book: Book) -> None:
    cell = Cell(book, (agreement("work", "9 * parts"),))
    cell.absorb(sample("parts", 0, 100))

    def fail(batch: Batch) -> None:
        cell.engine.absorb([sample("parts", 1, 105)])(batch)
        batch.also(lambda connection: connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)"))

    with pytest.raises(Unavailable):
        book.writer.submit(fail).result(10)
    cell.engine.forget()
    cell.absorb(sample("parts", 1, 105))
    assert cell.earned == "45.00 SEK"


def test_a_payment_that_is_refused_stays_owed_and_is_paid_when_there_is_money(book: Book) -> None:
    cell = Cell(book, (agreement("work", "9 * parts"),), floor="-10 kr")
    cell.absorb(sample("parts", 0, 100))
    absorbed = cell.absorb(sample("parts", 1, 102))
    assert [held.code for held in absorbed.held] == ["insufficient_funds"]
    assert cell.absorb().held[0].code == "insufficient_funds"
    cell.absorb(sample("parts", 2, 103))
    assert cell.earned == "0.00 SEK"
    book.open(account("line", "-1000 kr"))
    assert cell.absorb().held == ()
    assert cell.earned == "27.00 SEK"
    assert cell.absorb().posted == 0


def test_usage_waits_for_an_input_that_is_bad_and_nothing_is_lost(book: Book) -> None:
    cell = Cell(book, (agreement("wear", "(rpm / 1) * running_h"),))
    cell.absorb(sample("running", 0, True))
    held = cell.absorb(sample("running", 9, True)).held
    assert (held[0].agreement, held[0].code) == ("wear", "not_priced_yet")
    cell.absorb(sample("rpm", 9.5, None))
    cell.absorb(sample("rpm", 10, 3600))
    assert cell.earned == "9.00 SEK"


def test_a_period_across_a_price_change_is_split_there(book: Book, tmp_path: Path) -> None:
    local = to_datetime(NOON).astimezone(ZONE)
    quarter = f"{local:%H}:{local.minute // 15 * 15:02d}"
    minutes = 15 - local.minute % 15
    rows = [f"{hour:02d}:{m:02d},{_after(hour, m)},{2 if f'{hour:02d}:{m:02d}' == quarter else 4}"
            for hour in range(24) for m in (0, 15, 30, 45)]  # fmt: skip
    (tmp_path / "spot.csv").write_text("from,to,price\n" + "\n".join(rows) + "\n")
    series = load_price_csv(tmp_path / "spot.csv", ZONE)
    cell = Cell(book, (agreement("power", "spot * energy", spot="kr/kWh"),), {"spot": series})
    boundary = minutes * 60 - local.second
    cell.absorb(sample("energy", boundary - 30, 0))
    cell.absorb(sample("energy", boundary + 10, 4000))
    assert cell.earned == "10.00 SEK"  # 3 kWh at 2 kr and 1 kWh at 4 kr
    with reading(book.engine) as connection:
        ((_, amount, working),) = store.load_charges(connection, 1, "power", 10)
    assert Decimal(amount) == 10
    assert [part["result"] for part in json.loads(working)] == ["6 kr", "4 kr"]


def _after(hour: int, minute: int) -> str:
    after = hour * 60 + minute + 15
    return f"{after // 60:02d}:{after % 60:02d}"


def test_time_that_passes_without_usage_is_not_part_of_the_next_charge(book: Book) -> None:
    """A machine that stood still all night and moves at seven pays the price of seven o'clock."""
    cell = Cell(book, (agreement("work", "1 * parts if hour < 1 else 1 * parts"),))
    for hour in range(12):
        cell.absorb(sample("parts", hour * 3600, 0))
    cell.absorb(sample("parts", 11 * 3600 + 1, 5))
    with reading(book.engine) as connection:
        ((_, _, working),) = store.load_charges(connection, 1, "work", 10)
    assert len(json.loads(working)) == 1


def test_a_negative_price_turns_the_payment_round(book: Book) -> None:
    cell = Cell(book, (agreement("power", "-0.5 * energy_kwh"),))
    cell.absorb(sample("energy", 0, 0))
    cell.absorb(sample("energy", 5, 4000))
    assert cell.earned == "-2.00 SEK"


def test_a_new_agreement_does_not_bill_the_past(book: Book) -> None:
    cell = Cell(book, (agreement("work", "9 * parts"),))
    cell.absorb(sample("parts", 0, 0))
    cell.absorb(sample("parts", 1, 10))
    cell.agreements = (*cell.agreements, agreement("rent", "1 * parts"))
    cell.engine = cell.fresh_engine()
    cell.absorb(sample("parts", 2, 10))
    cell.absorb(sample("parts", 3, 11))
    assert cell.earned == "100.00 SEK"  # 11 parts at 9 kr, and one at 1 kr


def test_findings_are_told(book: Book) -> None:
    cell = Cell(book, (agreement("work", "9 * parts"),))
    cell.absorb(sample("parts", 0, 100))
    findings = cell.absorb(sample("parts", 1, 5)).findings
    assert [finding.condition for finding in findings] == [Condition.SUSPECT]
    assert cell.earned == "0.00 SEK"


def test_two_agreements_settle_one_meter_and_chains_pay_in_one_batch(book: Book) -> None:
    book.open(account("energy"))
    cell = Cell(
        book, (agreement("work", "9 * parts"), agreement("rent", "4 * parts", "cell", "energy")), floor="-100 kr"
    )
    cell.absorb(sample("parts", 0, 0), sample("energy", 0, 0))
    absorbed = cell.absorb(sample("parts", 1, 10))
    assert absorbed.posted == 2
    assert (cell.earned, book.balance("energy")) == ("50.00 SEK", "40.00 SEK")
    assert book.reader.verify().verified


def test_a_first_reading_and_the_next_may_come_together(book: Book, tmp_path: Path) -> None:
    """After a slow start both are absorbed at once: the first charge begins where the meter does, not in 1970."""
    cell = Cell(book, (agreement("work", "9 * parts if hour < 24 else 0 * parts"),))
    cell.absorb()
    cell.absorb(sample("parts", 0, 100), sample("parts", 1, 104))
    assert cell.earned == "36.00 SEK"
    with reading(book.engine) as connection:
        ((_, _, working),) = store.load_charges(connection, 1, "work", 10)
    assert [part["from"][:4] for part in json.loads(working)] == ["2026"]


def test_what_is_counted_in_the_first_batch_is_billed_too(book: Book) -> None:
    cell = Cell(book, (agreement("work", "9 * parts"),))
    cell.absorb(sample("parts", 0, 100), sample("parts", 1, 103))
    assert cell.earned == "27.00 SEK"


def test_what_was_held_through_the_night_is_priced_from_when_it_began(book: Book) -> None:
    cell = Cell(book, (agreement("wear", "(rpm / 1) * parts if hour < 24 else 0 * parts"),))
    for hour in range(10):
        cell.absorb(sample("parts", hour * 3600, 0))
    assert cell.absorb(sample("parts", 9 * 3600 + 1, 5)).held
    cell.absorb(sample("rpm", 9 * 3600 + 2, 2))
    assert cell.earned == "10.00 SEK"
    with reading(book.engine) as connection:
        ((_, _, working),) = store.load_charges(connection, 1, "wear", 10)
    assert len(json.loads(working)) == 1


def test_an_agreement_never_passes_its_debts_to_somebody_else(book: Book) -> None:
    cell = Cell(book, (agreement("work", "9 * parts"),), floor="0 kr")
    cell.absorb(sample("parts", 0, 100), sample("parts", 1, 110))
    book.open(account("other", "-1000 kr"))
    cell.agreements = (agreement("work", "9 * parts", payer="other"),)
    cell.engine = cell.fresh_engine()
    with pytest.raises(Rejected, match="line pays cell in SEK since it began"):
        book.writer.submit(cell.engine.begin()).result(10)
    assert book.balance("other") == "0.00 SEK"


def test_an_agreement_that_comes_back_does_not_bill_the_time_without_it(book: Book) -> None:
    cell = Cell(book, (agreement("work", "9 * parts"), agreement("rent", "1 * parts")))
    cell.absorb(sample("parts", 0, 0), sample("parts", 1, 10))
    both, cell.agreements = cell.agreements, cell.agreements[:1]
    cell.engine = cell.fresh_engine()
    cell.absorb(sample("parts", 60, 20))
    cell.agreements = both
    cell.engine = cell.fresh_engine()
    cell.absorb(sample("parts", 120, 20), sample("parts", 121, 21))
    cell.absorb(sample("parts", 122, 22))
    assert (
        cell.earned == "209.00 SEK"
    )  # 22 parts at 9 kr; 10 + 1 at 1 kr: what came with the first reading is not known


def test_an_agreement_that_ends_owing_is_named(book: Book) -> None:
    cell = Cell(book, (agreement("work", "9 * parts"),), floor="0 kr")
    cell.absorb(sample("parts", 0, 100), sample("parts", 1, 110))
    cell.agreements = ()
    begun = book.writer.submit(cell.fresh_engine().begin()).result(10)
    assert begun.ended_owing == ("work",)


def test_a_meter_whose_unit_changed_starts_a_new_segment(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(book, (agreement("power", "2 * energy_kwh"),))
    cell.absorb(sample("energy", 0, 0), sample("energy", 10, 4000))
    monkeypatch.setattr("settlements.METERS", (Counter(TagId("cell.energy"), UNITS["kWh"]), *METERS[::2]))
    cell.agreements = (agreement("power", "2 * energy_kwh"),)
    cell.engine = cell.fresh_engine()
    begun = book.writer.submit(cell.engine.begin()).result(10)
    assert [finding.condition for finding in begun.findings] == [Condition.REDEFINED]
    cell.absorb(sample("energy", 20, 4), sample("energy", 30, 5))
    assert cell.earned == "10.00 SEK"


def test_garbage_in_one_agreement_leaves_the_others_alone(book: Book) -> None:
    cell = Cell(book, (agreement("wear", "rpm / 1 * parts"), agreement("work", "9 * parts")))
    held = cell.absorb(sample("rpm", 0, Decimal(10) ** 17), sample("parts", 0, 0), sample("parts", 1, 2)).held
    assert [(each.agreement, each.code) for each in held] == [("wear", "amount_too_large")]
    assert cell.earned == "18.00 SEK"


def test_a_debt_beyond_one_transfer_is_paid_in_parts(book: Book) -> None:
    cell = Cell(book, (agreement("work", "100000000 * parts"),), floor="-40000000000 kr")
    cell.absorb(sample("parts", 0, 0), sample("parts", 1, 2))
    for _ in range(3):
        cell.absorb()
    assert cell.earned.replace("\u00a0", "") == "200000000.00 SEK"


def test_a_meter_that_leaves_a_tariff_and_comes_back_bills_nothing_of_the_time_between(book: Book) -> None:
    both, parts_only = agreement("work", "9 * parts + 1 * energy"), agreement("work", "9 * parts")
    cell = Cell(book, (both,), floor="-100000 kr")
    cell.absorb(sample("parts", 0, 0), sample("energy", 0, 0))
    cell.absorb(sample("parts", 1, 1), sample("energy", 1, 10))
    for agreed, second, energy in ((parts_only, 60, 3000), (both, 120, 3000)):
        cell.agreements = (agreed,)
        cell.engine = cell.fresh_engine()
        cell.absorb(sample("parts", second, 1), sample("energy", second, energy))
    assert cell.earned == "19.00 SEK"


def test_a_meter_that_nobody_bills_any_more_may_change_its_unit(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(book, (agreement("work", "9 * parts + 1 * energy"),))
    cell.absorb(sample("parts", 0, 0), sample("energy", 0, 0))
    cell.agreements = (agreement("work", "9 * parts"),)
    cell.engine = cell.fresh_engine()
    cell.absorb(sample("energy", 10, 500))
    monkeypatch.setattr("settlements.METERS", (Counter(TagId("cell.energy"), UNITS["kWh"]), *METERS[::2]))
    cell.engine = cell.fresh_engine()
    begun = book.writer.submit(cell.engine.begin()).result(10)
    assert [finding.condition for finding in begun.findings] == [Condition.REDEFINED]


def test_what_somebody_else_settled_meanwhile_is_read_though_a_doubted_batch_is_found(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        agreements = agreement("x", "9 * parts"), agreement("y", "1 * energy")
        cell = Cell(book, agreements, floor="-1000000 kr")
        database = FaultyDatabase(book.engine)
        book.writer._disconnect()
        cell.absorb(sample("parts", 0, 0), sample("energy", 0, 0))
        database.fail(Moment.ANSWER, connections_refused=5)
        with pytest.raises(OutcomeUnknown):
            cell.absorb(sample("parts", 10, 5))
        cell.engine.forget()
        database.heal()
        other = cell.fresh_engine()
        book.writer.submit(other.absorb([sample("energy", 20, 9)])).result(5)
        cell.engine.reload()
        cell.absorb(sample("parts", 10, 5))
        cell.absorb(sample("energy", 30, 19))
        assert cell.earned == "64.00 SEK", "as if nothing had happened"
