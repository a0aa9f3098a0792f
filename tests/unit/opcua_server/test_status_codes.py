"""The numbers that PLC programs compare."""

from __future__ import annotations

import pytest

from ledger.transfer import Reason
from opcua_server.status_codes import ResultCode, of_reason, of_rejection


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_of_the_ledger_has_its_own_code_below_zero(reason: Reason) -> None:
    assert of_reason(reason).name == reason.name
    assert of_reason(reason) < 0


def test_the_numbers_stay_what_was_published() -> None:
    published = [0, 1, *range(-1, -20, -1), -20, -21, -22, -23, -24, -30, -40, -41, -42, -99]
    assert [int(code) for code in ResultCode] == published


def test_a_rejection_without_a_code_of_its_own_is_still_refused() -> None:
    assert of_rejection("too_precise") is ResultCode.TOO_PRECISE
    assert of_rejection("something_new") is ResultCode.REJECTED
