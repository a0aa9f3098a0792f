"""Swedish organisation numbers of parties."""

import pytest
from pydantic import ValidationError

from ledger.settings import PartySettings, check_digit


@pytest.mark.parametrize("number", ["556016-0680", "556012-5790", "202100-5489", "556000-4615"])
def test_real_organisation_numbers_are_taken(number: str) -> None:
    assert PartySettings(name="P", organisation=number).organisation == number
    assert check_digit(number.replace("-", "")[:-1]) == int(number[-1])


def test_every_wrong_digit_and_most_swaps_are_noticed() -> None:
    number = "556016-0680"
    for place, right in enumerate(number):
        for digit in "0123456789":
            if right not in ("-", digit):
                with pytest.raises(ValidationError, match="its last digit is a check digit"):
                    PartySettings(name="P", organisation=f"{number[:place]}{digit}{number[place + 1 :]}")


@pytest.mark.parametrize(
    "number", ["5560160680", "556016-068", "16556016-0680", "556016–0680", "SE556016068001", "٥56016-0680"]
)
def test_other_ways_of_writing_are_refused(number: str) -> None:
    with pytest.raises(ValidationError, match="expected an organisation number as NNNNNN-NNNN"):
        PartySettings(name="P", organisation=number)


def test_a_party_may_have_no_number() -> None:
    assert PartySettings(name="P").organisation == ""
