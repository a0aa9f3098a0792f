"""A tariff: written as in the plant's file, checked with its examples, priced from tags in their own units."""

import json
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from core.money import CURRENCIES, EUR, SEK
from core.quantity import parse_unit
from settlement.expression import Name, NameKind, Unpriceable
from settlement.tariff import Tariff, TariffProblem, TariffSettings, compile_tariff

D = Decimal
TAGS = {
    name: Name(kind, parse_unit(unit))
    for name, kind, unit in [
        ("odometer", NameKind.USAGE, "m"),
        ("energy", NameKind.USAGE, "Wh"),
        ("running", NameKind.USAGE, "s"),
        ("parts", NameKind.USAGE, "pieces"),
        ("spot", NameKind.VALUE, "kr/kWh"),
        ("rpm", NameKind.VALUE, "rpm"),
        ("temperature", NameKind.VALUE, "°C"),
    ]
}
ELECTRICITY = {
    "charge": "(spot + grid) * energy_kwh",
    "constants": {"grid": "0.45 kr/kWh"},
    "examples": [{"spot": 1.27, "energy_kwh": 10, "expect": "17.20 kr"}],
}
WEAR = {
    "charge": "wear * (clamp((rpm - 1200) / 1800, 0, 1) + clamp((temperature - 40) / 60, 0, 1)) * running_h",
    "constants": {"wear": "950 kr/h"},
    "examples": [{"rpm": 3000, "temperature": 40, "running_h": 0.5, "expect": "475 kr"}],
}


def compile_(settings: Any) -> tuple[Tariff | None, list[TariffProblem]]:
    return compile_tariff("a-tariff", TariffSettings.model_validate(settings), TAGS.get, SEK, TAGS)


def tariff(settings: Any) -> Tariff:
    compiled, problems = compile_(settings)
    assert problems == []
    assert compiled is not None
    return compiled


def problems(settings: Any) -> list[tuple[str, str]]:
    compiled, found = compile_(settings)
    assert compiled is None
    return [(problem.key, problem.message) for problem in found]


def test_a_plain_text_is_the_charge() -> None:
    assert TariffSettings.model_validate("12 * odometer") == TariffSettings(charge="12 * odometer")


@pytest.mark.parametrize(
    "wrong", [{"charge": "1", "chrage": "2"}, {}, {"charge": ["1"]}, None, {"charge": "1", "per": 3}]
)
def test_settings_are_strict(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        TariffSettings.model_validate(wrong)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        TariffSettings(charge="1").charge = "2"  # type: ignore[misc]


def test_an_editor_may_be_told_both_forms() -> None:
    text, mapping = TariffSettings.model_json_schema()["anyOf"]
    assert text == {"type": "string"}
    assert mapping["additionalProperties"] is False


def test_inputs_are_given_by_tag_in_the_tags_own_unit() -> None:
    electricity = tariff(ELECTRICITY)
    assert electricity.inputs == ("spot", "energy")
    assert electricity.price({"spot": D("1.27"), "energy": D(10_000)}) == D("17.20")


def test_a_tag_named_in_two_units_is_one_input() -> None:
    both = tariff({"charge": "2 * odometer + p * odometer_km", "constants": {"p": "3 kr/km"}})
    assert both.inputs == ("odometer",)
    assert both.price({"odometer": D(500)}) == D("1001.5")


def test_wear_is_priced_by_speed_and_temperature() -> None:
    wear = tariff(WEAR)
    assert wear.inputs == ("rpm", "temperature", "running")
    values = {"rpm": D(2100), "temperature": D(100), "running": D(3600)}
    assert wear.price(values) == D(1425)


def test_a_price_per_kilometre_takes_the_bare_name_in_kilometres() -> None:
    per_km = tariff(
        {
            "charge": "8 * odometer",
            "per": "km",
            "examples": [{"odometer": "2", "expect": "16 kr"}, {"odometer": "500 m", "expect": "4 kr"}],
        }
    )
    assert per_km.price({"odometer": D(500)}) == 4
    assert tariff({"charge": "8 * odometer_m", "per": "km"}).price({"odometer": D(500)}) == 4000


def test_times_are_inputs_too() -> None:
    by_night = tariff("12 * odometer if 6 <= hour < 22 else 10 * odometer")
    assert by_night.inputs == ("odometer", "hour")
    assert by_night.price({"odometer": D(1), "hour": D(23)}) == 10


@pytest.mark.parametrize("values", [{"spot": D(1)}, {"spot": None, "energy": D(1)}, {}])
def test_an_input_that_is_not_known_has_no_price(values: Any) -> None:
    with pytest.raises(Unpriceable, match="missing_value: no value for"):
        tariff(ELECTRICITY).price(values)


@pytest.mark.parametrize("number", [D("1e41"), D("nan"), D("1e999999"), 0.5, "1"])
def test_an_input_that_is_no_sensible_number_has_no_price(number: Any) -> None:
    for settings in (ELECTRICITY, "2 * energy_kwh if spot > 0 else 0"):
        with pytest.raises(Unpriceable):
            tariff(settings).working({"spot": D(0), "energy": number})


def test_the_working_shows_every_number_with_its_unit() -> None:
    electricity = tariff(ELECTRICITY)
    working = electricity.working({"spot": D("1.270"), "energy": D(10_000)})
    assert json.loads(json.dumps(working)) == {
        "tariff": "a-tariff",
        "expression": "(spot + grid) * energy_kwh",
        "digest": electricity.digest,
        "inputs": {"spot": "1.27 kr/kWh", "grid": "0.45 kr/kWh", "energy_kwh": "10 kWh"},
        "result": "17.2 kr",
    }


def test_the_digest_changes_with_whatever_changes_the_price() -> None:
    digests = {
        tariff(settings).digest
        for settings in (
            "8 * odometer",
            "9 * odometer",
            {"charge": "8 * odometer", "per": "km"},
            {"charge": "p * odometer", "constants": {"p": "8 kr/m"}},
            {"charge": "p * odometer", "constants": {"p": "9 kr/m"}},
            {"charge": "p * odometer", "constants": {"p": "9 kr/km"}},
        )
    }
    assert len(digests) == 6
    assert tariff("8*odometer").digest == tariff({"charge": "8 * odometer", "per": "m"}).digest


def test_other_currencies_are_priced_in_their_own() -> None:
    settings = TariffSettings(charge="p * odometer", constants={"p": "0.50 EUR/m"})
    compiled, _ = compile_tariff("t", settings, TAGS.get, EUR)
    assert compiled is not None
    assert compiled.working({"odometer": D(3)})["result"] == "1.5 €"
    assert compile_tariff("t", settings, TAGS.get, SEK)[1] == [
        TariffProblem("the expression gives EUR, expected kr", 0, "charge")
    ]
    yen, _ = compile_tariff("t", TariffSettings(charge="2 * odometer"), TAGS.get, CURRENCIES["JPY"])
    assert yen is not None
    assert yen.working({"odometer": D(3)})["result"] == "6 JPY"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("12 * odometr", [("charge", "unknown name 'odometr' at column 6; did you mean 'odometer'?")]),
        (
            5,
            [("charge", "'5' at column 1 is charged at every reading, however small the step; multiply it by a meter")],
        ),
        ({"charge": "2 * odometer", "per": "kWh"}, [("per", "odometer is counted in m, it cannot be priced per kWh")]),
        ({"charge": "2 * energy_kwh", "per": "m"}, [("per", "energy is counted in kWh, it cannot be priced per m")]),
        ({"charge": "2 * odometer", "per": "kwm"}, [("per", "unknown unit 'kwm' in 'kwm'; did you mean 'km'?")]),
        (
            {"charge": "p * odometer", "constants": {"p": "9 kr/x"}},
            [("constants.p", "unknown unit 'x' in 'kr/x'")],
        ),
        (
            {"charge": "p * odometer", "constants": {"p": "much"}},
            [("constants.p", "expected a number and a unit such as '3 m/s', got 'much'")],
        ),
        (
            {"charge": "2 * odometer", "constants": {"hour": "9"}},
            [("constants.hour", "'hour' already names a tag, a price or a time; call the constant something else")],
        ),
        (
            {"charge": "prise * odometer", "constants": {"price": "9 kr/m"}},
            [("charge", "unknown name 'prise' at column 1; did you mean 'price'?")],
        ),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(settings: Any, expected: list[tuple[str, str]]) -> None:
    assert problems(settings) == expected


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"odometer": 2, "expect": "4.10 kr"}, "expected 4.10 kr, the expression gives 4.00 kr"),
        ({"odometer": "0.333", "expect": "0.67 kr"}, "expected 0.67 kr, the expression gives 0.666 kr"),
        ({"odometer": 2, "expect": "4 EUR"}, "expected 4 EUR, the expression gives 4.00 kr"),
        ({"odometer": 2, "expect": "four"}, "expected an amount and a currency such as '50000 kr', got 'four'"),
        ({"odometer": "two", "expect": "4 kr"}, "expected a number and a unit such as '3 m/s', got 'two'"),
        ({"odometer": "2 kWh", "expect": "4 kr"}, "kWh (energy) cannot become m (length)"),
        ({"odometer": 2}, "says nothing to expect, such as expect: 17.20 kr"),
        ({"expect": "4 kr"}, "gives no value for odometer"),
        ({"odometr": 2, "expect": "4 kr"}, "'odometr' is not an input of the charge; did you mean 'odometer'?"),
        ({"odometer": "9000000000", "expect": "4 kr"}, "1.800000e+10 is beyond 1,000,000,000"),
        ({"odometer": "1" * 60, "expect": "4 kr"}, "'odometer' is beyond 10^40"),
    ],
)
def test_an_example_that_does_not_come_out_is_a_problem(example: dict[str, Any], message: str) -> None:
    good = {"odometer": 2, "expect": "4 kr"}
    assert problems({"charge": "2 * odometer", "examples": [good, example]}) == [("examples[1]", message)]


def test_everything_wrong_is_said_at_once() -> None:
    constants = {"p": "9 kr/x", "q": "8 kr/m", "spot": "1"}
    found = problems({"charge": "q * odometer + 5", "per": "kwm", "constants": constants})
    assert [key for key, _ in found] == ["constants.p", "constants.spot", "per", "charge"]


def test_a_constant_that_cannot_be_read_is_not_reported_as_unknown_too() -> None:
    assert [key for key, _ in problems({"charge": "p * odometer", "constants": {"p": "9 kr/x"}})] == ["constants.p"]


def test_every_example_that_fails_is_reported() -> None:
    found = problems(
        {"charge": "2 * odometer", "per": "m", "examples": [{"odometer": 1, "expect": f"{n} kr"} for n in range(4)]}
    )
    assert [key for key, _ in found] == ["examples[0]", "examples[1]", "examples[3]"]
