"""What an account is, what may move on it, and what it held at a past instant."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import PLANT, START, Book, account, capture, hold, open_book, payment

from core.clock import SECOND, Instant
from core.errors import Rejected
from core.ids import derived_id
from core.money import EUR, SEK, UNITS_MAX, Money
from ledger.account import Account, AccountId, AccountKind, AccountState, AccountType, Party, PartyId, no_floor
from ledger.batch import Batch
from ledger.operations import open_accounts
from ledger.transfer import Outcome, Posted, Reason, Refused

OTHER = Party(PartyId("other"), "Other AB", "556000-4615")


def reason(outcome: Outcome) -> Reason:
    assert isinstance(outcome, Refused), outcome
    return outcome.reason


def test_an_account_is_read_as_it_was_opened(database_url: str) -> None:
    full = Account(
        AccountId("press"),
        'Press "7" åäö\t',
        PartyId("other"),
        Money.parse("-100 kr"),
        AccountKind.MACHINE,
        AccountType.LIABILITY,
        Money.parse("500 kr").units,
        "4010",
        {"line": "2", "hall": "väst"},
        AccountState.FROZEN,
    )
    bank = Account(AccountId("bank"), "", PLANT.id, no_floor(EUR), AccountKind.BANK, AccountType.ASSET)
    with open_book(database_url) as book:
        book.work(open_accounts([PLANT, OTHER], [full, bank]))
        statuses = book.reader.overview().statuses
        assert [each.account for each in statuses] == [full, bank]
        assert [each.account for each in book.commits[-1].statuses] == [full, bank]
        assert (str(statuses[0].account.ceiling), str(statuses[0].account.credit_limit)) == ("500.00 SEK", "100.00 SEK")
        assert [each.has_floor for each in (full, bank)] == [True, False]
        assert [each.has_ceiling for each in (full, bank)] == [True, False]
        assert book.reader.verify().faults == ()


def test_every_kind_of_account_has_its_place_in_the_books() -> None:
    assert {kind: kind.usual_type for kind in AccountKind}.keys() == set(AccountKind)
    assert [kind for kind in AccountKind if kind.usual_type.is_debit_normal] == [
        AccountKind.BANK,
        AccountKind.CLEARING,
        AccountKind.ROUNDING,
    ]


UNWRITABLE = {
    "NUL in its id": account("a\0b"),
    "broken encoding in its id": account("a\ud800"),
    "no id": account(""),
    "a long id": account("a" * 256),
    "NUL in its owner": account("a", owner="o\0"),
    "NUL in its name": replace(account("a"), name="A\0B"),
    "broken encoding in its name": replace(account("a"), name="\udfff"),
    "a long name": replace(account("a"), name="A" * 1_001),
    "NUL in its cost centre": account("a", cost_centre="\0"),
    "NUL in a label": account("a", labels={"hall\0": "1"}),
    "broken encoding in a label's text": account("a", labels={"hall": "\ud800"}),
    "many labels": account("a", labels={str(n): "" for n in range(101)}),
    "a floor above zero": account("a", "1 kr"),
    "a ceiling below zero": account("a", ceiling_units=-1),
}


@pytest.mark.parametrize("bad", UNWRITABLE.values(), ids=UNWRITABLE)
def test_an_account_that_could_not_be_written_down_is_rejected_and_disturbs_nobody(
    database_url: str, bad: Account
) -> None:
    with open_book(database_url) as book:
        rejected, nothing = book.together(
            lambda batch: batch.open_account(bad), lambda batch: batch.open_account(account("good"))
        )
        assert isinstance(rejected, Rejected)
        assert rejected.code == "invalid_account"
        assert "expected" in rejected.text
        assert "got" in rejected.text
        assert nothing is None
        assert [status.account.id for status in book.reader.overview().statuses] == ["good"]


@pytest.mark.parametrize(
    "bad",
    [
        Party(PartyId("p\0"), "P"),
        Party(PartyId(""), "P"),
        Party(PartyId("p"), "P\ud800"),
        Party(PartyId("p"), "P" * 1_001),
        Party(PartyId("p"), "P", "\0"),
    ],
    ids=["NUL in its id", "no id", "broken encoding in its name", "a long name", "NUL in its number"],
)
def test_a_party_that_could_not_be_written_down_is_rejected_and_disturbs_nobody(database_url: str, bad: Party) -> None:
    with open_book(database_url) as book:
        rejected, nothing = book.together(
            lambda batch: batch.set_parties([PLANT, bad]), lambda batch: batch.set_parties([OTHER])
        )
        assert isinstance(rejected, Rejected)
        assert (rejected.code, "expected" in rejected.text) == ("invalid_party", True)
        assert nothing is None
        with book.reader.history() as history:
            assert history.parties() == [OTHER]


@pytest.mark.parametrize("name", ["b\0", "b\ud800"], ids=["NUL", "broken encoding"])
def test_an_account_that_nobody_could_write_down_is_unknown(database_url: str, name: str) -> None:
    with open_book(database_url) as book:
        book.open(account("a", "-10 kr"), account("b"))
        (to, good), (of,) = book.together(
            lambda batch: batch.post([payment("1", "a", name, "1 kr"), payment("2", "a", "b", "1 kr")]),
            lambda batch: batch.post([payment("3", name, "b", "1 kr")]),
        )
        assert [reason(to), reason(of)] == [Reason.UNKNOWN_CREDIT_ACCOUNT, Reason.UNKNOWN_DEBIT_ACCOUNT]
        assert isinstance(good, Posted)
        with pytest.raises(Rejected, match="unknown_account"):
            book.reader.statement(AccountId(name))


def pay(batch: Batch) -> None:
    with batch.between_books():  # else an account of kind clearing pays nobody
        batch.post([payment("1", "one", "two", "3 kr")])


@pytest.mark.parametrize("kind", AccountKind)
def test_a_book_holds_accounts_of_every_kind(kind: AccountKind, tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("one", "-10 kr", kind=kind, type=kind.usual_type), account("two"))
        book.work(pay)
        status = book.status("one")
        assert (status.account.kind, status.account.type) == (kind, kind.usual_type)
        assert str(status.balance) == "-3.00 SEK", "what came in less what went out, whatever its type"
        assert book.reader.verify().faults == ()


def test_opening_the_same_account_again_writes_nothing(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr", labels={"line": "2"}))
        head = book.reader.overview().head
        book.open(account("a", "-10 kr", labels={"line": "2"}))
        assert book.reader.overview().head == head


def test_all_but_owner_and_currency_may_change(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"))
        changed = account(
            "a",
            "-20 kr",
            kind=AccountKind.BUFFER,
            type=AccountType.EQUITY,
            ceiling_units=5,
            cost_centre="1",
            labels={"line": "2"},
        )
        book.open(changed)
        assert book.status("a").account == changed
        for fixed in (account("a", owner="other"), account("a", "0 EUR")):
            with pytest.raises(Rejected) as rejected:
                book.open(fixed)
            assert rejected.value.code == "account_is_fixed"
        assert book.status("a").account == changed


def test_a_frozen_account_still_takes_money_in(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("a", "-10 kr"), account("b", "-10 kr", state=AccountState.FROZEN))
        out, into = book.post(payment("1", "b", "a", "1 kr"), payment("2", "a", "b", "2 kr"))
        assert reason(out) is Reason.ACCOUNT_FROZEN
        assert isinstance(into, Posted)
        book.change("b", state=AccountState.OPEN)
        assert isinstance(book.post(payment("1", "b", "a", "1 kr"))[0], Posted)
        assert book.reader.verify().faults == ()


def test_only_an_empty_account_is_closed_and_then_nothing_moves(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("a", "-10 kr"), account("b", "-10 kr"))
        book.post(payment("1", "a", "b", "2 kr"))
        for name in ("a", "b"):
            with pytest.raises(Rejected) as rejected:
                book.change(name, state=AccountState.CLOSED)
            assert rejected.value.code == "account_not_empty"
        book.post(payment("2", "b", "a", "2 kr"))
        book.change("a", state=AccountState.CLOSED)
        out, into = book.post(payment("3", "a", "b", "1 kr"), payment("4", "b", "a", "1 kr"))
        assert [reason(out), reason(into)] == [Reason.ACCOUNT_CLOSED] * 2
        book.change("a", state=AccountState.OPEN)
        assert isinstance(book.post(payment("3", "a", "b", "1 kr"))[0], Posted)
        assert book.reader.verify().faults == ()


def test_an_account_is_emptied_and_closed_within_one_batch(tmp_path: Path) -> None:
    def work(batch: Batch) -> None:
        batch.post([payment("2", "b", "a", "2 kr")])
        batch.open_account(account("b", state=AccountState.CLOSED))

    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        book.post(payment("1", "a", "b", "2 kr"))
        book.work(work)
        assert book.status("b").account.state is AccountState.CLOSED
        assert book.reader.verify().faults == ()


def test_a_ceiling_limits_what_comes_in_and_not_what_is_there(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("a", "-100 kr"), account("b", ceiling_units=Money.parse("10 kr").units))
        assert isinstance(book.post(payment("1", "a", "b", "10 kr"))[0], Posted)
        (refused,) = book.post(payment("2", "a", "b", "0.00000001 kr"))
        assert reason(refused) is Reason.CEILING_REACHED
        book.change("b", ceiling_units=Money.parse("5 kr").units)
        assert book.balance("b") == "10.00 SEK"
        assert isinstance(book.post(payment("3", "b", "a", "7 kr"))[0], Posted)
        down, up = book.post(payment("4", "a", "b", "2 kr"), payment("5", "a", "b", "0.00000001 kr"))
        assert isinstance(down, Posted)
        assert reason(up) is Reason.CEILING_REACHED
        assert book.reader.verify().faults == ()


def test_money_that_comes_and_goes_within_a_batch_is_judged_at_each_step(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-100 kr"), account("b", ceiling_units=Money.parse("10 kr").units))
        outcomes = book.post(
            payment("1", "a", "b", "10 kr"),
            payment("2", "a", "b", "10 kr"),
            payment("3", "b", "a", "10 kr"),
            payment("4", "a", "b", "10 kr"),
        )
        assert [isinstance(outcome, Posted) for outcome in outcomes] == [True, False, True, True]


def test_an_account_without_a_floor_pays_whatever_is_asked(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        bank = Account(AccountId("bank"), "Bank", PLANT.id, no_floor(SEK), AccountKind.BANK, AccountType.ASSET)
        book.open(bank, account("a"))
        for n in range(3):
            assert isinstance(book.post(payment(f"{n}", "bank", "a", "90000000 kr"))[0], Posted)
        assert book.status("bank").available.units == UNITS_MAX - 3 * 90_000_000 * 10**8


def test_accounts_that_two_pieces_of_work_open_get_numbers_of_their_own(tmp_path: Path) -> None:
    def fail(batch: Batch) -> None:
        batch.open_account(account("ghost"))
        raise Rejected("no", "changed my mind")

    with open_book(tmp_path / "a.db") as book:
        book.together(
            open_accounts([PLANT], [account("a", "-10 kr")]), fail, open_accounts([PLANT], [account("b"), account("c")])
        )
        assert [each.account.id for each in book.reader.overview().statuses] == ["a", "b", "c"]
        book.post(payment("1", "a", "b", "1 kr"), payment("2", "a", "c", "2 kr"))
        assert [str(each.balance) for each in book.reader.overview().statuses] == ["-3.00 SEK", "1.00 SEK", "2.00 SEK"]
        assert book.reader.verify().faults == ()


def past(book: Book, name: str, at: int) -> tuple[str, str, str, str]:
    """Its name, balance, what was held and what was available, so many seconds after the book was opened."""
    status = book.reader.status_at(AccountId(name), Instant(START + at * SECOND))
    held, available = status.held.plain(), status.available.plain()
    return status.account.name, status.balance.plain(), held, available


def test_a_past_instant_shows_the_terms_the_money_and_the_holds_of_then(database_url: str) -> None:
    with open_book(database_url) as book:
        book.open(account("a", "-100 kr"))
        book.clock.advance(SECOND)
        book.open(account("b"))
        book.post(payment("1", "a", "b", "10 kr"))
        book.post(payment("2", "a", "b", "5 kr"))
        book.clock.advance(SECOND)
        book.place(hold("h", "a", "b", "20 kr", Instant(START + 5 * SECOND)))
        book.clock.advance(SECOND)
        book.change("a", name="New", floor=Money.parse("-40 kr"), state=AccountState.FROZEN)
        book.clock.advance(SECOND)
        book.change("a", state=AccountState.OPEN)
        book.capture(capture("c", "h", "4 kr"))
        book.clock.advance(SECOND)
        book.work(lambda batch: None)
        assert past(book, "a", 0) == ("A", "0.000000", "0.000000", "100.000000")
        assert past(book, "a", 1) == ("A", "-15.000000", "0.000000", "85.000000")
        assert past(book, "a", 2) == ("A", "-15.000000", "20.000000", "65.000000")
        assert past(book, "a", 3) == ("New", "-15.000000", "20.000000", "5.000000")
        assert past(book, "a", 4) == ("New", "-19.000000", "16.000000", "5.000000")
        assert past(book, "a", 5) == ("New", "-19.000000", "0.000000", "21.000000")
        assert past(book, "a", 10**6) == past(book, "a", 5)
        states = [book.reader.status_at(AccountId("a"), Instant(START + at * SECOND)).account.state for at in (2, 3, 4)]
        assert states == [AccountState.OPEN, AccountState.FROZEN, AccountState.OPEN]
        between = book.reader.status_at(AccountId("a"), Instant(START + 2 * SECOND - 1))
        assert between.held == Money.parse("0 kr"), "up to the microsecond"


def test_an_account_that_was_not_open_then_is_unknown(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a"))
        book.clock.advance(SECOND)
        book.open(account("b"))
        for name, at in (("b", START), ("a", START - 1), ("nobody", START + SECOND)):
            with pytest.raises(Rejected) as rejected:
                book.reader.status_at(AccountId(name), Instant(at))
            assert rejected.value.code == "unknown_account"


def test_a_clock_that_steps_back_does_not_take_the_book_with_it(tmp_path: Path) -> None:
    with open_book(tmp_path / "a.db") as book:
        book.open(account("a", "-10 kr"), account("b"))
        book.clock.advance(-60 * SECOND)
        (outcome,) = book.post(payment("1", "a", "b", "1 kr"))
        assert isinstance(outcome, Posted)
        assert outcome.transfer.posted_time == START
        assert past(book, "b", 0)[1] == "1.000000"
        assert book.reader.verify().faults == ()


def test_two_writers_of_one_book_see_each_others_accounts_and_money(postgresql_url: str) -> None:
    with open_book(postgresql_url) as one, open_book(postgresql_url) as two:
        one.open(account("a", "-10 kr"), account("b"))
        assert isinstance(two.post(payment("1", "a", "b", "6 kr"))[0], Posted)
        assert reason(one.post(payment("2", "a", "b", "6 kr"))[0]) is Reason.INSUFFICIENT_FUNDS
        two.change("a", floor=Money.parse("-20 kr"))
        assert isinstance(one.post(payment("2", "a", "b", "6 kr"))[0], Posted)
        one.place(hold("h", "a", "b", "8 kr"))
        assert reason(two.post(payment("3", "a", "b", "1 kr"))[0]) is Reason.INSUFFICIENT_FUNDS
        assert isinstance(two.capture(capture("c", "h", "5 kr", is_last=True)), Posted)
        assert isinstance(one.post(payment("3", "a", "b", "3 kr"))[0], Posted)
        assert isinstance(two.reverse("r", derived_id("1")), Posted)
        assert isinstance(one.reverse("s", derived_id("1")), Refused)
        two.change("b", state=AccountState.FROZEN)
        assert reason(one.post(payment("4", "b", "a", "1 kr"))[0]) is Reason.ACCOUNT_FROZEN
        assert (one.balance("a"), two.balance("b")) == ("-14.00 SEK", "14.00 SEK")
        assert one.reader.verify().faults == two.reader.verify().faults == ()


def test_two_writers_at_once_lose_and_double_nothing(postgresql_url: str) -> None:
    with open_book(postgresql_url) as one, open_book(postgresql_url) as two:
        one.open(account("a", "-60 kr"), account("b", "-60 kr"))

        def post(book: Book, me: str, sink: list[Outcome]) -> None:
            for n in range(30):
                sink += book.post(payment(f"both {n}", "a", "b", "1 kr"), payment(f"{me} {n}", "b", "a", "1 kr"))

        outcomes: tuple[list[Outcome], list[Outcome]] = ([], [])
        threads = [
            threading.Thread(target=post, args=(book, me, sink))
            for book, me, sink in zip((one, two), ("one", "two"), outcomes, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        posted = sum(isinstance(outcome, Posted) for sink in outcomes for outcome in sink)
        assert posted == 30 + 60
        assert (one.balance("a"), two.balance("b")) == ("30.00 SEK", "-30.00 SEK")
        assert one.reader.verify().faults == ()
