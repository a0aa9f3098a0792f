"""The one-line tariff: what it refuses and how it says so, what it measures, that it is linear and exact."""

from decimal import Decimal
from fractions import Fraction

import pytest

from core.errors import Rejected
from core.quantity import ONE, UNITS, parse_unit
from settlement.expression import (
    Expression,
    ExpressionError,
    Name,
    NameKind,
    Unpriceable,
    arithmetic,
    compile_expression,
    find_name,
    resolve_name,
)

D = Decimal
KR = UNITS["kr"]


def usage(unit: str) -> Name:
    return Name(NameKind.USAGE, parse_unit(unit))


def value(unit: str) -> Name:
    return Name(NameKind.VALUE, parse_unit(unit))


TAGS = {
    "odometer": usage("m"),
    "trip": usage("km"),
    "energy": usage("Wh"),
    "energy_kwh": usage("kWh"),
    "running": usage("s"),
    "running_h": usage("h"),
    "parts": usage("pieces"),
    "spot": value("kr/kWh"),
    "grid": value("öre/kWh"),
    "euro": value("EUR/kWh"),
    "rent": value("kr/h"),
    "fee": value("kr/m"),
    "rpm": value("rpm"),
    "temperature": value("°C"),
    "power": value("kW"),
    "battery": value("%"),
    "length": value("m"),
    "distance": value("km"),
    "moving": value(""),
    "factor": value(""),
}


def find(identifier: str) -> Name | None:
    found = find_name(identifier, TAGS.get)
    return found[2] if found else None


def compiled(source: str) -> Expression:
    return compile_expression(source, find, KR, TAGS)


def refusal(source: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        compiled(source)
    return caught.value


def gives(source: str, **values: str) -> Decimal:
    return compiled(source).evaluate({name: D(number) for name, number in values.items()})


# ---- what it computes


@pytest.mark.parametrize(
    ("source", "values", "result"),
    [
        ("12 * odometer", {"odometer": "2.5"}, "30"),
        ("12 * odometer if 6 <= hour < 22 else 10 * odometer", {"odometer": "1", "hour": "6"}, "12"),
        ("12 * odometer if 6 <= hour < 22 else 10 * odometer", {"odometer": "1", "hour": "22"}, "10"),
        ("-odometer * -2", {"odometer": "3"}, "6"),
        ("+2 * odometer - odometer * 0.5", {"odometer": "3"}, "4.5"),
        ("2 * odometer + 3 * energy", {"odometer": "1", "energy": "10"}, "32"),
        ("2 * odometer if moving else 0", {"odometer": "3", "moving": "0"}, "0"),
        ("2 * odometer if not moving or hour == 3 else 0", {"odometer": "3", "moving": "1", "hour": "3"}, "6"),
        ("2 * odometer if weekday != 6 and month > 5 else 0", {"odometer": "3", "weekday": "5", "month": "6"}, "6"),
        ("min(2, 3, factor) * 1 * parts", {"factor": "1", "parts": "4"}, "4"),
        ("max(2, factor) * 1 * parts", {"factor": "1", "parts": "4"}, "8"),
        ("clamp(factor, 0, 1) * 5 * parts", {"factor": "-3", "parts": "4"}, "0"),
        ("clamp(factor, 0, 1) * 5 * parts", {"factor": "3", "parts": "4"}, "20"),
        ("floor(factor) * 1 * parts", {"factor": "-1.5", "parts": "1"}, "-2"),
        ("ceil(factor) * 1 * parts", {"factor": "1.01", "parts": "1"}, "2"),
        ("round(factor) * 1 * parts", {"factor": "2.5", "parts": "1"}, "2"),
        ("abs(factor) * 1 * parts", {"factor": "-2.5", "parts": "1"}, "2.5"),
        ("1 * parts if between(hour, 6, 22) else 2 * parts", {"hour": "22", "parts": "1"}, "2"),
        ("1 * parts if between(hour, 6, 22) else 2 * parts", {"hour": "6", "parts": "1"}, "1"),
        ("  2\n *\todometer  ", {"odometer": "3"}, "6"),
        ("0", {}, "0"),
    ],
)
def test_an_expression_is_computed_as_it_reads(source: str, values: dict[str, str], result: str) -> None:
    assert gives(source, **values) == D(result)


def test_literals_and_results_are_exact_decimals() -> None:
    assert gives("0.1 * odometer + 0.2 * odometer", odometer="1") == D("0.3")
    assert str(gives("123456789012345678 * odometer", odometer="0.000000001")) == "123456789.012345678"
    assert str(gives("0.00000000000000001 * odometer", odometer="1")) == "1E-17"


def test_names_come_in_the_order_in_which_they_are_written() -> None:
    expression = compiled("0.02 * odometer + spot * energy_kwh if 6 <= hour < 22 else 0.01 * odometer")
    assert expression.names == ("odometer", "spot", "energy_kwh", "hour")
    with arithmetic():
        assert expression.function(D(100), D("1.5"), D(2), D(7)) == D(5)
        assert expression.function(D(100), D("1.5"), D(2), D(5)) == D(1)


def test_the_digest_is_of_the_meaning_not_of_the_spaces() -> None:
    assert compiled("12*odometer").digest == compiled(" 12  * odometer ").digest
    assert compiled("12*odometer").digest != compiled("13*odometer").digest
    assert compiled("12*trip").digest != compile_expression("12*trip", lambda _: usage("m"), KR).digest
    assert compiled("12*trip").digest != compile_expression("12*trip", find, UNITS["€"]).digest
    assert len(compiled("12*odometer").digest) == 64


# ---- what it refuses to read

HOSTILE = [
    "",
    "   ",
    "9**9**9**9",
    "9" * 19,
    "1" * 1_000,
    "1e308 * odometer",
    "1e999999 * odometer",
    "1E5*odometer",
    "0x10 * odometer",
    "1_000 * odometer",
    "1j * odometer",
    "١٢ * odometer",
    "1. * odometer",
    ".5 * odometer",
    "007 * odometer",
    "1.2.3 * odometer",
    "(" * 500 + "odometer" + ")" * 492,
    "(" * 150 + "odometer" + ")" * 150,
    "(" * 1_000,
    "-" * 990 + "odometer",
    "not " * 245 + "moving",
    "+".join(["odometer"] * 110),
    "+".join(["1"] * 25_000),
    "(" * 5_000 + "1" + ")" * 5_000,
    "lambda: 1",
    "(lambda f: f(f))(lambda f: f(f))",
    "().__class__.__bases__[0].__subclasses__()",
    "odometer.real",
    "odometer.__class__",
    "odometer[0]",
    "__import__('os').system('true')",
    "open('/etc/passwd')",
    "'a' * 1000000000",
    '"a"',
    "f'{odometer}'",
    "b'a' * odometer",
    "[x for x in (1, 2)]",
    "(x for x in (1, 2))",
    "{1: 2}",
    "{1, 2}",
    "(1, 2)",
    "()",
    "12,50 * odometer",
    "(y := 5) * odometer",
    "odometer = 5",
    "await odometer",
    "(yield odometer)",
    "odometer // 2",
    "odometer % 2",
    "odometer @ 2",
    "odometer << 99999",
    "odometer | 1",
    "~odometer",
    "odometer if hour is 3 else 0",
    "odometer if hour in 3 else 0",
    "odometer if hour <> 3 else 0",
    "True * odometer",
    "None",
    "...",
    "import os",
    "1; 2",
    "2 * odometer # a price",
    "2 * odometer \\",
    "2 * odometer\0",
    "\0",
    "\ud800 * odometer",
    "2 * odometer 3",
    "2 * odometer)",
    "(2 * odometer",
    "* odometer",
    "clamp(*odometer)",
    "clamp(**odometer)",
    "clamp(x=1)",
    "clamp(1, 2, 3)(4) * odometer",
    "min() * odometer",
    "min(1) * odometer",
    "min(" + ", ".join("1" * 11) + ") * odometer",
    "abs(1, 2) * odometer",
    "eval(1)",
    "odometer(3)",
    "sqrt(2) * odometer",
    "if * odometer",
    "ｉf * odometer",
    "Ｔrue * odometer",
    "odometer if else 2",
    "1if hour<6else 2",
    "2 * odometer \u2028 + 1",
    "2 × odometer",
    "2 * odometer − 1",
]


@pytest.mark.parametrize("source", HOSTILE, ids=lambda source: ascii(source[:30]))
def test_what_no_tariff_needs_is_refused(source: str) -> None:
    error = refusal(source)
    assert error.code == "bad_expression"
    assert error.text
    assert 0 <= error.column <= 1_001


def test_no_builtin_can_be_reached_from_the_compiled_code() -> None:
    function = compiled("max(1, factor) * 1 * parts").function
    assert function.__globals__["__builtins__"] == {}


@pytest.mark.parametrize(
    ("source", "text", "column"),
    [
        ("12 * odometr", "unknown name 'odometr' at column 6; did you mean 'odometer'?", 6),
        ("  12 * odometr", "unknown name 'odometr' at column 8; did you mean 'odometer'?", 8),
        ("2 * odometer if huor < 6 else 0", "unknown name 'huor' at column 17; did you mean 'hour'?", 17),
        ("2 * räknare", "unknown name 'räknare' at column 5", 5),
        ("(räknare + 1) * xyzzy if ö < 2 else 3", "unknown name 'räknare' at column 2", 2),
        ("2 * odometer if ö < 2 else 3", "unknown name 'ö' at column 17", 17),
        ("mim(1, 2) * parts", "unknown function 'mim' at column 1; did you mean 'min'?", 1),
        ("clamp(1, 2) * parts", "clamp at column 1 takes 3 values, got 2", 1),
        ("min(1) * parts", "min at column 1 takes 2 to 10 values, got 1", 1),
        ("2 * odometer % 3", "unexpected '%' at column 14", 14),
        ("2 * parts if hour = 6 else 0", "unexpected '=' at column 19; compare with ==", 19),
        ("1e5 * parts", "unexpected '1e5' at column 1; a number is written 12 or 0.25", 1),
        (
            "12,50 * parts",
            "'12,50 * parts' at column 1 is not allowed in a tariff; decimals are written with a point",
            1,
        ),
        ("2 ** 3 * parts", "'2 ** 3' at column 1 is not allowed in a tariff", 1),
        ("1 * 1234567890123456789", "a number of more than 18 digits at column 5", 5),
        (" (2 * odometer", "cannot read the expression: '(' was never closed at column 2", 2),
        ("x" * 1_001, "expected at most 1000 characters, got 1001", 1_001),
        ("+".join("1" * 101), "expected at most 200 operations, names and numbers, got 201", 0),
        ("parts / 0", "'parts / 0' at column 1 divides by zero", 9),
        ("2 if 2 else 3", "expected a condition such as 6 <= hour < 22, got '2' at column 6", 6),
        ("parts if hour else 0", "expected a condition such as 6 <= hour < 22, got 'hour' at column 10", 10),
        ("(hour < 6) * parts", "'hour < 6' at column 2 is true or false, expected a number", 2),
        ("parts if rpm else 0", "expected a condition such as 6 <= hour < 22, got 'rpm' at column 10", 10),
    ],
)
def test_a_refusal_says_what_and_where(source: str, text: str, column: int) -> None:
    error = refusal(source)
    assert text in error.text
    assert error.column == column


def test_a_long_part_is_quoted_in_short() -> None:
    assert len(refusal("+".join(["1"] * 90)).text) < 200


# ---- dimensions


@pytest.mark.parametrize(
    ("source", "values", "result"),
    [
        ("spot * energy", {"spot": "1.5", "energy": "2000"}, "3"),
        ("energy * spot", {"spot": "1.5", "energy": "2000"}, "3"),
        ("spot * energy * 1.25", {"spot": "1.5", "energy": "2000"}, "3.75"),
        ("spot * energy / 2", {"spot": "1.5", "energy": "2000"}, "1.5"),
        ("1.25 * spot * energy_kwh", {"spot": "1", "energy_kwh": "2"}, "2.5"),
        ("(spot + grid) * energy_kwh", {"spot": "1", "grid": "45", "energy_kwh": "1"}, "1.45"),
        ("(grid + spot) * energy_kwh", {"spot": "1", "grid": "45", "energy_kwh": "1"}, "1.45"),
        ("(spot + 0.45) * energy", {"spot": "1", "energy": "1000"}, "1.45"),
        ("(grid + 55) * energy", {"grid": "45", "energy": "1000"}, "1"),
        ("max(spot, grid) * energy_kwh", {"spot": "0.1", "grid": "45", "energy_kwh": "1"}, "0.45"),
        ("max(spot, 0) * energy_kwh", {"spot": "-1", "energy_kwh": "1"}, "0"),
        ("0.02 * odometer + spot * energy", {"odometer": "100", "spot": "1", "energy": "1000"}, "3"),
        ("spot * energy + 0.02 * odometer", {"odometer": "100", "spot": "1", "energy": "1000"}, "3"),
        ("3 * (odometer + trip)", {"odometer": "500", "trip": "1"}, "4500"),
        ("3 * (trip + odometer)", {"odometer": "500", "trip": "1"}, "4.5"),
        ("rent * running", {"rent": "36", "running": "100"}, "1"),
        ("rent * ((rpm - 1200) / 1800) * running_h", {"rent": "9", "rpm": "3000", "running_h": "2"}, "18"),
        ("rent * clamp((rpm - 1200) * 0.001, 0, 1) * running_h", {"rent": "9", "rpm": "1700", "running_h": "2"}, "9"),
        (
            "rent * (clamp((rpm - 1200) / 1800, 0, 1) + clamp((temperature - 40) / 60, 0, 1)) * running_h",
            {"rent": "950", "rpm": "3000", "temperature": "70", "running_h": "0.5"},
            "712.5",
        ),
        ("spot * power * running", {"spot": "1", "power": "2", "running": "1800"}, "1"),
        ("2 * parts if rpm > 1200 and battery < 20 else 0", {"parts": "1", "rpm": "1201", "battery": "19"}, "2"),
        ("2 * parts if length < distance else 0", {"parts": "1", "length": "1001", "distance": "1"}, "0"),
        ("2 * parts if length < distance else 0", {"parts": "1", "length": "999", "distance": "1"}, "2"),
        ("length / distance * 2 * parts", {"length": "500", "distance": "1", "parts": "1"}, "1"),
        ("fee * trip", {"fee": "2", "trip": "1"}, "2000"),
        ("0 if hour < 6 else spot * energy", {"hour": "7", "spot": "1", "energy": "1000"}, "1"),
        ("hour / 24 * 2 * parts", {"hour": "12", "parts": "1"}, "1"),
    ],
)
def test_units_are_converted_exactly(source: str, values: dict[str, str], result: str) -> None:
    assert gives(source, **values) == D(result)


def test_a_conversion_that_no_decimal_can_hold_is_still_exact() -> None:
    joules = Name(NameKind.USAGE, UNITS["J"])
    expression = compile_expression("spot * work", {**TAGS, "work": joules}.get, KR)
    assert expression.evaluate({"spot": D(1), "work": D(3_600_000)}) == 1
    assert expression.evaluate({"spot": D(7), "work": D(1_800_000)}) == D("3.5")


@pytest.mark.parametrize(
    ("source", "text", "column"),
    [
        ("odometer + energy_kwh", "cannot add m (column 1) and kWh (column 12)", 12),
        ("odometer - running", "cannot subtract m (column 1) and s (column 12)", 12),
        ("5 * parts if rpm > temperature else 0", "cannot compare rpm (column 14) and °C (column 20)", 20),
        ("5 * parts if 3 < rpm < temperature else 0", "cannot compare rpm (column 18) and °C (column 24)", 24),
        ("5 * parts if hour < rpm else 0", "cannot compare a plain number (column 14) and rpm (column 21)", 21),
        ("min(rpm, temperature) * parts", "cannot take min of rpm (column 5) and °C (column 10)", 10),
        ("odometer if hour < 6 else energy", "cannot choose between m (column 1) and Wh (column 27)", 27),
        ("energy_kwh", "the expression gives kWh, expected kr", 0),
        ("spot", "the expression gives kr/kWh, expected kr", 0),
        ("euro * energy_kwh", "the expression gives EUR, expected kr", 0),
        ("spot * odometer", "the expression gives kr·m/kWh, expected kr", 0),
        ("factor * parts", "the expression gives pieces, expected kr", 0),
        ("hour * parts", "the expression gives pieces, expected kr", 0),
        ("spot * energy + fee * running", "cannot add kr (column 1) and kr·s/m (column 17)", 17),
        ("5 * spot * odometer", "gives kr·m/kWh, expected kr; give its plain numbers a unit, as constants", 0),
        ("rent * (rpm - 1200) / 1800 * running_h", "gives kr·rpm, expected kr; give its plain numbers a unit", 0),
        ("hour < 6", "the expression gives true or false, expected kr", 0),
        ("odometer_kwh * 2", "'odometer_kwh' at column 1: m (length) cannot become kWh (energy)", 1),
    ],
)
def test_only_like_goes_with_like(source: str, text: str, column: int) -> None:
    error = refusal(source)
    assert text in error.text
    assert error.column == column


@pytest.mark.parametrize(
    "source",
    [
        "energy / 1000 * spot",
        "0.001 * energy * spot",
        "spot * (energy * 0.001)",
        "1.25 * spot * energy",
        "2 * odometer + 3 * trip",
        "0.5 * rent * running",
        "rent * ((rpm - 1200) / 1800) * running",
        "5 * energy * power / (power * 2) * grid / spot * spot",
    ],
)
def test_a_plain_number_that_may_be_a_conversion_is_never_converted_twice(source: str) -> None:
    assert "would be converted by" in refusal(source).text


# ---- linear in usage


@pytest.mark.parametrize(
    ("source", "text", "column"),
    [
        ("5", "'5' at column 1 is charged at every reading, however small the step; multiply it by a meter", 1),
        ("12 * odometer + 5", "'5' at column 17 is charged at every reading", 17),
        ("5 + 12 * odometer", "'5' at column 1 is charged at every reading", 1),
        ("12 * odometer - 5 * hour", "'5 * hour' at column 17 is charged at every reading", 17),
        ("12 * odometer if hour < 6 else 5", "'5' at column 32 is charged at every reading", 32),
        ("5 if hour < 6 else 12 * odometer", "'5' at column 1 is charged at every reading", 1),
        ("5 * factor", "'5 * factor' at column 1 is charged at every reading", 1),
        ("2 * odometer * parts", "'2 * odometer * parts' at column 1 multiplies a meter by a meter", 16),
        ("odometer * odometer", "multiplies a meter by a meter", 12),
        ("5 / odometer", "'odometer' at column 5 is a meter", 5),
        ("odometer / parts", "'parts' at column 12 is a meter", 12),
        ("2 * odometer if odometer > 5 else 0", "cannot compare 'odometer' at column 17, a meter", 17),
        ("2 * odometer if odometer else 0", "expected a condition", 17),
        ("2 * odometer if moving and odometer > 5 else 0", "'odometer' at column 28, a meter", 28),
        *(
            (f"2 * {name}({arguments})", f"cannot take {name} of 'odometer' at column {column}, a meter", column)
            for name, arguments, column in [
                ("min", "odometer, 5", 9),
                ("max", "0, odometer", 12),
                ("clamp", "odometer, 0, 5", 11),
                ("abs", "odometer", 9),
                ("round", "odometer", 11),
                ("floor", "odometer", 11),
                ("ceil", "odometer", 10),
            ]
        ),
        ("2 * parts if between(odometer, 0, 5) else 0", "cannot take between of 'odometer'", 22),
    ],
)
def test_what_costs_by_the_reading_is_refused(source: str, text: str, column: int) -> None:
    error = refusal(source)
    assert text in error.text
    assert error.column == column


@pytest.mark.parametrize(
    "source",
    [
        "0 if hour < 6 else 12 * odometer",
        "12 * odometer + 0",
        "-0 + 12 * odometer",
        "0 * odometer",
        "1 * (2 + hour) * odometer",
        "9 * odometer / (2 + hour)",
        "(odometer + odometer) * 3",
    ],
)
def test_zero_fits_everywhere_and_prices_may_be_of_any_form(source: str) -> None:
    expression = compiled(source)
    values = dict.fromkeys(expression.names, D(7))
    twice = {**values, "odometer": D(14)}
    assert expression.evaluate(twice) == pytest.approx(2 * expression.evaluate(values), rel=D("1e-30"))


# ---- what cannot be priced


@pytest.mark.parametrize(
    ("source", "values", "code"),
    [
        ("2 * parts / factor", {"parts": D(1), "factor": D(0)}, "division_by_zero"),
        ("2 * parts / factor", {"parts": D(0), "factor": D(0)}, "division_by_zero"),
        ("parts * 2", {"parts": D("500000000.01")}, "amount_too_large"),
        ("parts * -2", {"parts": D("500000000.01")}, "amount_too_large"),
        ("parts * 2", {"parts": D("1e39")}, "amount_too_large"),
        ("parts * 20", {"parts": D("9e40")}, "amount_too_large"),
        ("parts * 2", {"parts": D("1e999999")}, "amount_too_large"),
        ("parts * 2", {"parts": D("nan")}, "not_a_number"),
        ("parts * 2", {"parts": D("snan")}, "not_a_number"),
        ("parts * 2", {"parts": D("-inf")}, "not_a_number"),
        ("parts * 2", {"parts": 0.5}, "not_a_number"),
        ("parts * 2", {"parts": "1"}, "not_a_number"),
        ("parts * 2", {"parts": None}, "missing_value"),
        ("parts * 2", {}, "missing_value"),
    ],
)
def test_values_without_a_price_are_named(source: str, values: dict[str, Decimal], code: str) -> None:
    with pytest.raises(Unpriceable) as caught:
        compiled(source).evaluate(values)
    assert caught.value.code == code
    assert isinstance(caught.value, Rejected)


def test_an_amount_at_the_bound_is_still_priced() -> None:
    assert gives("parts * 2", parts="500000000") == 10**9


def test_a_number_too_small_to_matter_becomes_zero_not_an_error() -> None:
    assert f"{gives('parts * 2 / 3', parts='1e-999999'):f}".strip("0.") == ""


# ---- names


@pytest.mark.parametrize(
    ("identifier", "tag", "factor", "unit"),
    [
        ("energy", "energy", Fraction(1), "Wh"),
        ("energy_kwh", "energy", Fraction(1, 1000), "kWh"),
        ("energy_kWh", "energy", Fraction(1, 1000), "kWh"),
        ("energy_mj", "energy", Fraction(9, 2500), "MJ"),
        ("run_time_h", "run_time", Fraction(1, 3600), "h"),
        ("distance_m", "distance_m", Fraction(1), "km"),
        ("hour", "hour", Fraction(1), ""),
    ],
)
def test_a_name_finds_its_tag_and_unit(identifier: str, tag: str, factor: Fraction, unit: str) -> None:
    tags = {"energy": usage("Wh"), "run_time": usage("s"), "distance_m": usage("km"), "distance": usage("m")}
    found = resolve_name(identifier, tags)
    assert found is not None
    assert found[:2] == (tag, factor)
    assert found[2].unit == (parse_unit(unit) if unit else ONE)


@pytest.mark.parametrize("identifier", ["energi", "energy_", "_kwh", "energy_xyz", "hour_h", ""])
def test_a_name_of_nothing_is_none(identifier: str) -> None:
    assert resolve_name(identifier, {"energy": usage("Wh")}) is None


def test_a_tag_in_a_unit_of_something_else_is_refused() -> None:
    with pytest.raises(Rejected, match="unit_mismatch"):
        resolve_name("energy_m", {"energy": usage("Wh")})
