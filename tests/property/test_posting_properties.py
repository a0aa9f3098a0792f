"""The quick answer and the full one agree: what is plainly fine has no objection, and what is fine is plainly so."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.clock import Instant
from core.ids import derived_id
from core.money import EUR, SEK, TRANSFER_UNITS_MAX, UNITS_MAX, Money
from ledger.account import Account, AccountId, AccountKind, AccountState, PartyId
from ledger.posting import Standing, decide, is_plainly_fine
from ledger.transfer import TransferRequest

currencies = st.sampled_from((SEK, EUR))
near = st.integers(-2, 2)
units = st.one_of(near, st.integers(0, 1000), near.map(lambda n: TRANSFER_UNITS_MAX + n))
totals = st.one_of(st.integers(0, 2000), st.integers(UNITS_MAX - 1000, UNITS_MAX))


@st.composite
def standings(draw: st.DrawFn, name: str) -> Standing:
    floor = Money(-draw(st.integers(0, 1000)), draw(currencies))
    ceiling = draw(st.one_of(st.just(UNITS_MAX), st.integers(0, 2000)))
    state = draw(st.sampled_from([AccountState.OPEN, AccountState.OPEN, *AccountState]))
    kind = draw(st.sampled_from([AccountKind.PARTY, AccountKind.MACHINE, AccountKind.CLEARING]))
    account = Account(AccountId(name), name, PartyId("p"), floor, kind, ceiling_units=ceiling, state=state)
    held = draw(st.one_of(st.just(0), st.integers(0, 1000)))
    return Standing(draw(st.integers(1, 9)), account, draw(totals), draw(totals), held)


@given(
    standings("a"),
    standings("b"),
    st.booleans(),
    units,
    currencies,
    st.integers(198, 202),
    st.integers(138, 142),
    st.sampled_from(["", "device:a", "two\nlines", "\udcff"]),
    st.integers(0, 2),
)
def test_plainly_fine_means_that_there_is_no_objection(
    debit: Standing,
    credit: Standing,
    itself: bool,
    amount: int,
    currency: object,
    text: int,
    reference: int,
    source: str,
    locked_until: int,
) -> None:
    credit = debit if itself else credit
    request = TransferRequest(
        derived_id("x"),
        debit.account.id,
        credit.account.id,
        Money(amount, currency),  # type: ignore[arg-type]
        Instant(1),
        "t" * text,
        "r" * reference,
        source,
    )
    locked = Instant(locked_until)
    is_fine = is_plainly_fine(request, debit, credit, locked, amount)
    assert is_fine == (decide(request, debit, credit, None, locked) is None)
