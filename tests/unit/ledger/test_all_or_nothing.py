"""What a call on the batch raised, it did not do: a piece of work may catch that and go on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ledgers import START, account, capture, hold, open_book, payment

from core.clock import SECOND, Instant
from core.ids import TransferId, derived_id
from core.money import SEK, Money
from ledger import holds
from ledger.batch import Batch
from ledger.store import BookHead
from ledger.transfer import Posted, TransferKind

SOON = Instant(START + 10 * SECOND)
GOOD = payment("good", "press", "energy", "2 kr")
CAUSED = payment("caused", "press", "energy", "1 kr", kind=TransferKind.REVERSAL, cause=derived_id("paid"))
WRONG_ID = replace(GOOD, id=TransferId(b"short"))
LARGE = replace(GOOD, amount=Money("1", SEK))  # type: ignore[arg-type]
NOTHING: Any = None

CALLS: dict[str, Callable[[Batch], object]] = {
    "a reversal after a payment": lambda batch: batch.post([GOOD, CAUSED]),
    "a wrong amount after a payment": lambda batch: batch.post([GOOD, LARGE]),
    "no request after a payment": lambda batch: batch.post([GOOD, NOTHING]),
    "a wrong id after a payment": lambda batch: batch.post([GOOD, WRONG_ID]),
    "a wrong amount after a linked payment": lambda batch: batch.post_linked([GOOD, LARGE]),
    "a reversal that is linked": lambda batch: batch.post_linked([GOOD, CAUSED]),
    "a reversal with a wrong text": lambda batch: batch.reverse(derived_id("r"), derived_id("paid"), SOON, NOTHING),
    "a hold that is none": lambda batch: holds.place(batch, NOTHING),
    "a hold with a wrong expiry": lambda batch: holds.place(batch, hold("new", "press", "energy", "5 kr", NOTHING)),
    "a capture with a wrong amount": lambda batch: holds.capture(
        batch, replace(capture("c", "h", "1 kr"), amount=LARGE.amount)
    ),
    "a release of a wrong id": lambda batch: holds.release(batch, TransferId(b"short")),
    "a lock that is no time": lambda batch: batch.lock_period(NOTHING),
    "a refusal that is none": lambda batch: batch.record_refusal(NOTHING),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_raises_leaves_no_trace_in_a_piece_of_work_that_goes_on(call: str, tmp_path: Path) -> None:
    """The batch is to the last byte as if the call had never been made."""

    def stumble(batch: Batch) -> None:
        with pytest.raises((ValueError, TypeError)):
            CALLS[call](batch)

    def work(batch: Batch, stumble: Callable[[Batch], None]) -> None:
        stumble(batch)
        assert isinstance(batch.post([payment("1", "press", "energy", "4 kr")])[0], Posted)
        stumble(batch)
        batch.open_account(account("new"))
        assert isinstance(batch.post([GOOD])[0], Posted)
        assert isinstance(batch.reverse(derived_id("r"), derived_id("paid"), Instant(2_000)), Posted)

    def written(name: str, stumble: Callable[[Batch], None]) -> BookHead:
        with open_book(tmp_path / name) as book:
            book.open(account("press", "-100 kr"), account("energy"))
            book.post(payment("paid", "press", "energy", "8 kr"))
            book.place(hold("h", "press", "energy", "20 kr", SOON))
            assert book.together(lambda batch: work(batch, stumble)) == [None]
            assert book.reader.verify().faults == ()
            return book.reader.overview().head

    assert written("with.db", stumble) == written("without.db", lambda batch: None)
