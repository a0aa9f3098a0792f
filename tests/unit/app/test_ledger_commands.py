"""`myntverk ledger …`, what only reads: the same for people and for programs."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from ledger_plants import LedgerPlant, plant_of
from ledgers import START, account, hold, payment

from core.clock import SECOND, Instant, ManualClock, from_datetime
from core.errors import Misconfigured, Rejected, Unavailable
from ledger.account import AccountKind, AccountState, AccountType, no_floor
from ledger.batch import Batch
from ledger.transfer import Refused, TransferRequest

STOCKHOLM = ZoneInfo("Europe/Stockholm")


@pytest.fixture
def plant(tmp_path: Path, database_url: str) -> LedgerPlant:
    """On each kind of database: five batches, a second apart from the third on."""
    plant = plant_of(tmp_path, database_url)
    clock = ManualClock(START)
    with plant.opened(clock) as book:
        book.open(account("a", "-10 kr", kind=AccountKind.MACHINE), account("b", ceiling_units=500_000_000))
        book.open(account("bank", kind=AccountKind.BANK, type=AccountType.ASSET, cost_centre="1930", labels={"x": "y"}))
        for key in "123":
            clock.advance(SECOND)
            book.post(payment(key, "a", "b", "1 kr", text=f"part {key}"))
    return plant


def at(text: str) -> Instant:
    """A local time in Stockholm."""
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=STOCKHOLM))


def done(key: str, when: str, amount: str = "1 kr") -> TransferRequest:
    return replace(payment(key, "a", "b", amount), effective_time=at(when))


def test_accounts_show_what_they_are_for_and_what_may_still_move(plant: LedgerPlant) -> None:
    with plant.opened() as book:
        book.place(hold("h", "a", "b", "2 kr"))
        book.change("bank", state=AccountState.FROZEN, floor=no_floor(book.status("bank").account.currency))
    assert [" ".join(line.split()) for line in plant.lines("accounts")] == [
        "a plant machine liability open -3.00 SEK held 2.00 SEK available 5.00 SEK ceiling none",
        "b plant party liability open 3.00 SEK held 0.00 SEK available 3.00 SEK ceiling 5.00 SEK",
        "bank plant bank asset frozen 0.00 SEK held 0.00 SEK available without limit ceiling none",
    ]
    shown = {each["id"]: each for each in plant.read("accounts")}
    assert shown["bank"] == {
        "id": "bank",
        "name": "Bank",
        "owner": "plant",
        "kind": "bank",
        "type": "asset",
        "state": "frozen",
        "currency": "SEK",
        "balance": "0.000000",
        "held": "0.000000",
        "available": None,
        "floor": None,
        "ceiling": None,
        "total_in": "0.000000",
        "total_out": "0.000000",
        "cost_centre": "1930",
        "labels": {"x": "y"},
    }
    assert [shown["a"][key] for key in ("held", "available", "floor", "ceiling")] == [
        "2.000000",
        "5.000000",
        "-10.000000",
        None,
    ]
    assert shown["b"]["ceiling"] == "5.000000"


def test_accounts_are_shown_as_they_were_at_a_time(plant: LedgerPlant) -> None:
    def balances(time: str) -> dict[str, str]:
        return {each["id"]: each["balance"] for each in plant.read("accounts", "--at", time)}

    assert balances("2023-11-14T22:13:19Z") == {}
    assert balances("2023-11-14T22:13:22.5Z") == {"a": "-2.000000", "b": "2.000000", "bank": "0.000000"}
    assert balances("2023-11-14T23:13:22+01:00") == balances("2023-11-14T22:13:22.5Z")
    assert balances("2030-01-01T00:00Z") == {each["id"]: each["balance"] for each in plant.read("accounts")}


@pytest.mark.parametrize("time", ["2023-11-14", "2023-11-14T22:13:19", "2023-02-30T00:00:00Z", "yesterday"])
def test_a_time_without_its_offset_is_a_usage_error(plant_file: LedgerPlant, time: str) -> None:
    result = plant_file.run("accounts", "--at", time)
    assert result.exit_code == 2
    assert "expected a time such as 2026-11-22T15:04:05Z" in " ".join(result.stderr.replace("│", " ").split())


@pytest.fixture
def plant_file(tmp_path: Path) -> LedgerPlant:
    """A plant without a ledger yet."""
    return plant_of(tmp_path, f"sqlite:///{tmp_path / 'book.db'}")


def test_a_statement_goes_on_where_a_page_ended_whatever_was_posted_since(plant: LedgerPlant) -> None:
    whole = plant.read("statement", "b", "--limit", 1000)
    assert [each["text"] for each in whole] == ["part 3", "part 2", "part 1"]
    page = plant.run("statement", "b", "--limit", 2)
    assert len(page.stdout.splitlines()) == 2
    assert page.stderr == f"more: --before {whole[1]['cursor']}\n" == "more: --before 4.0\n"
    with plant.opened() as book:
        book.post(payment("4", "a", "b", "1 kr"), payment("5", "b", "a", "1 kr"))
    assert plant.read("statement", "b", "--before", "4.0") == whole[2:]
    last = plant.run("statement", "b", "--limit", 1, "--before", "4.0")
    assert (last.stderr, last.stdout.split()[-1]) == ("", whole[2]["id"])
    assert plant.lines("statement", "b", "--before", "3.0") == []
    newest = [" ".join(line.split()[1:4]) for line in plant.lines("statement", "b", "--limit", 2)]
    assert newest == ["-1.00 SEK a", "1.00 SEK a"]
    assert [each["cursor"] for each in plant.read("statement", "b", "--limit", 2)] == ["6.1", "6.0"]


def test_what_is_no_cursor_is_a_usage_error(plant_file: LedgerPlant) -> None:
    for cursor in ("4", "4.", ".4", "0.1", "4.0.1", "-4.0", "a.b"):
        assert plant_file.run("statement", "b", "--before", cursor).exit_code == 2


def test_totals_are_of_all_time_or_of_whole_days_where_the_plant_stands(plant: LedgerPlant) -> None:
    with plant.opened() as book:
        # The 29th had 25 hours in Stockholm.
        book.post(
            done("d1", "2023-10-28T23:59:59.999999", "0.01 kr"),
            done("d2", "2023-10-29T00:00", "0.1 kr"),
            done("d3", "2023-10-29T23:59:59.999999", "0.2 kr"),
            done("d4", "2023-10-30T00:00", "0.5 kr"),
        )

    def paid(*arguments: str) -> list[tuple[int, str]]:
        return [(link["transfers"], link["amount"]) for link in plant.read("totals", *arguments)["links"]]

    assert paid() == [(7, "3.810000")]
    assert paid("--from", "2023-10-29", "--to", "2023-10-29") == [(2, "0.300000")]
    assert paid("--from", "2023-10-29") == [(3, "0.800000")]
    assert paid("--to", "2023-10-28") == [(4, "3.010000")]
    assert paid("--from", "2023-10-31") == []
    shown = plant.read("totals", "--from", "2023-10-29")
    assert (shown["from"], shown["to"]) == ("2023-10-29", None)
    assert shown["links"] == [{"payer": "a", "payee": "b", "transfers": 3, "amount": "0.800000", "currency": "SEK"}]
    assert [" ".join(line.split()) for line in plant.lines("totals", "--to", "2023-10-28")] == [
        "a b 4 3.01 SEK",
        "debit balances 3.81 SEK, credit balances 3.81 SEK: they differ by 0.00 SEK",
    ]


def test_the_trial_balance_is_one_for_each_currency(plant: LedgerPlant) -> None:
    with plant.opened() as book:
        book.open(account("euro", "-9 EUR"), account("other", "0 EUR"))
        book.post(payment("e", "euro", "other", "2 EUR"), payment("back", "b", "a", "1 kr"))
    shown = plant.read("totals")
    assert shown["debit_balances"] == shown["credit_balances"] == {"SEK": "2.000000", "EUR": "2.000000"}
    assert shown["trial_balance"] == {"SEK": "0.000000", "EUR": "0.000000"}


def test_days_that_begin_within_an_hour_have_no_totals(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, f"sqlite:///{tmp_path / 'book.db'}", zone="Asia/Kolkata")
    with plant.opened() as book:
        book.open(account("a"))
    error = plant.run("totals", "--from", "2023-10-29").exception
    assert isinstance(error, Rejected)
    assert "2023-10-29T00:00:00+05:30 is no whole hour of UTC" in error.text
    assert plant.read("totals")["links"] == []


@pytest.mark.parametrize(
    "days",
    [
        ("--from", "2023-10-32"),
        ("--from", "20231029"),
        ("--to", "9999-12-31"),
        ("--from", "2023-10-29", "--to", "2023-10-28"),
    ],
)
def test_what_are_no_days_is_a_usage_error(plant: LedgerPlant, days: tuple[str, ...]) -> None:
    assert plant.run("totals", *days).exit_code == 2


def test_open_holds_are_shown_with_what_is_left_of_them(plant: LedgerPlant) -> None:
    later = Instant(START + 3600 * SECOND)
    with plant.opened() as book:
        book.place(hold("stays", "a", "b", "2 kr", text="pledge"))
        book.place(hold("ends", "a", "b", "1.5 kr", expires=later))
        book.place(hold("gone", "a", "b", "1 kr"))
        book.release("gone")
    shown = plant.read("holds")
    assert [(each["remaining"], each["expires"]) for each in shown] == [
        ("1.500000", "2023-11-14T23:13:20.000000Z"),
        ("2.000000", None),
    ]
    ends, stays = [" ".join(line.split()) for line in plant.lines("holds")]
    assert ends.startswith("a b 1.50 SEK of 1.50 SEK until 2023-11-14T23:13:20.000000Z")
    assert stays == f"a b 2.00 SEK of 2.00 SEK until it is captured or released pledge {shown[1]['id']}"


def test_refusals_are_shown_with_their_reason(plant: LedgerPlant) -> None:
    with plant.opened() as book:
        for request in (payment("r1", "b", "a", "4 kr"), payment("r2", "nobody", "a", "1 kr", source="user:anna")):
            (refused,) = book.post(request)
            assert isinstance(refused, Refused)
            book.work(partial(Batch.record_refusal, refused=refused))
    newest, oldest = plant.read("refusals")
    assert [newest[key] for key in ("debit", "amount", "currency", "source", "reason")] == [
        "nobody",
        "1.000000",
        "SEK",
        "user:anna",
        "unknown_debit_account",
    ]
    assert oldest["why"].startswith("b has 3.00")
    assert plant.read("refusals", "--limit", 1) == [newest]
    assert plant.read("refusals", "--account", "b") == [oldest]
    line = " ".join(plant.lines("refusals", "--account", "b")[0].split()[1:])
    assert line.startswith("4.00 SEK b a insufficient_funds: b has 3.00 SEK")
    unknown = plant.run("refusals", "--account", "c").exception
    assert isinstance(unknown, Rejected)
    assert unknown.text == "there is no account 'c' in this book"


def test_reading_takes_no_lock_and_leaves_nothing_behind(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, f"sqlite:///{tmp_path / 'book.db'}")
    with plant.opened() as book:
        book.open(account("a", "-1 kr"), account("b"))
        for command in ("verify", "accounts", "totals", "holds", "refusals", "lock"):
            plant.lines(command)
        assert [each.name for each in tmp_path.glob("*.lock")] == []
        book.post(payment("1", "a", "b", "1 kr"))


def test_a_copy_of_the_ledger_is_verified_by_its_url(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, f"sqlite:///{tmp_path / 'book.db'}")
    backup = f"sqlite:///{tmp_path / 'backup.db'}"
    with plant.opened() as book:
        book.open(account("a", "-9 kr"), account("b"))
        book.post(payment("1", "a", "b", "1 kr"))
        head = plant.lines("verify")[-1]
        with closing(sqlite3.connect(tmp_path / "book.db")) as live, closing(connected(backup)) as copy:
            live.backup(copy)
        book.post(payment("2", "a", "b", "1 kr"))
        assert plant.lines("verify", "--url", backup)[-1] == head != plant.lines("verify")[-1]
        assert plant.lines("verify", "--expect-head", head.removeprefix("head "))
    with closing(connected(backup)) as copy, copy:
        copy.execute("UPDATE transfer SET amount = amount + 1")
    assert plant.run("verify", "--url", backup).exit_code == 1
    assert plant.run("verify").exit_code == 0


def test_the_file_of_a_stopped_ledger_may_be_copied_and_verified_in_its_folder(tmp_path: Path) -> None:
    plant = plant_of(tmp_path, f"sqlite:///{tmp_path / 'book.db'}")
    with plant.opened() as book:
        book.open(account("a", "-9 kr"), account("b"))
        book.post(payment("1", "a", "b", "1 kr"))
    copies = tmp_path / "copies"
    copies.mkdir()
    shutil.copy(tmp_path / "book.db", copies)
    assert plant.lines("verify", "--data", copies) == plant.lines("verify")


def test_a_copy_that_is_not_there_is_not_made(tmp_path: Path, plant_file: LedgerPlant) -> None:
    missing = plant_file.run("verify", "--url", f"sqlite:///{tmp_path / 'nowhere.db'}").exception
    assert isinstance(missing, Misconfigured)
    assert not (tmp_path / "nowhere.db").exists()


def connected(url: str) -> sqlite3.Connection:
    return sqlite3.connect(url.removeprefix("sqlite:///"))


def test_a_restored_postgresql_is_verified_by_its_url(tmp_path: Path, postgresql_url: str) -> None:
    with plant_of(tmp_path, postgresql_url).opened() as book:
        book.open(account("a"))
    elsewhere = plant_of(tmp_path, f"sqlite:///{tmp_path / 'book.db'}")
    assert elsewhere.lines("verify", "--url", postgresql_url)[0].startswith("verified: 0 transfers in 1 batches")


def test_a_url_with_a_password_is_a_usage_error_that_does_not_repeat_it(plant_file: LedgerPlant) -> None:
    result = plant_file.run("verify", "--url", "postgresql://myntverk:hunter2@db/myntverk")
    assert result.exit_code == 2
    assert "hunter2" not in result.output
    assert "MYNTVERK_POSTGRES_PASSWORD" in result.stderr


def test_a_postgresql_that_is_not_there_is_said_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYNTVERK_POSTGRES_PASSWORD", "hunter2")
    plant = plant_of(tmp_path, "postgresql://myntverk@127.0.0.1:1/myntverk")
    error = plant.run("accounts").exception
    assert isinstance(error, Unavailable)
    assert "the database cannot be read" in str(error)
    assert "hunter2" not in str(error)
