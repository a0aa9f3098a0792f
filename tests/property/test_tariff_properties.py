"""Whatever a tariff says: no split of the usage changes its price, and no text raises anything but our own errors."""

import contextlib
from collections.abc import Callable, Mapping
from decimal import Decimal

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from core.errors import Rejected
from core.quantity import UNITS, parse_unit
from settlement.expression import (
    FUNCTIONS,
    TIME_NAMES,
    Expression,
    ExpressionError,
    Name,
    NameKind,
    Unpriceable,
    compile_expression,
    find_name,
)

D = Decimal
KR = UNITS["kr"]
TAGS: Mapping[str, Name] = {
    name: Name(kind, parse_unit(unit))
    for name, kind, unit in [
        ("odometer", NameKind.USAGE, "m"),
        ("energy", NameKind.USAGE, "Wh"),
        ("running", NameKind.USAGE, "s"),
        ("spot", NameKind.VALUE, "kr/kWh"),
        ("rent", NameKind.VALUE, "öre/h"),
        ("rpm", NameKind.VALUE, "rpm"),
        ("factor", NameKind.VALUE, ""),
    ]
}


def find(identifier: str) -> Name | None:
    found = find_name(identifier, TAGS.get)
    return found[2] if found else None


def compiled(source: str) -> Expression | None:
    try:
        return compile_expression(source, find, KR, TAGS)
    except ExpressionError:
        return None


literals = st.sampled_from(["0", "1", "2", "0.5", "12", "1200", "0.0001", "999999999999999999"])
names = st.sampled_from([*TAGS, "energy_kwh", "running_h", "odometer_km", "hour", "weekday", "unknown"])


def deeper(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(parts, st.sampled_from("+-*/"), parts).map(lambda made: f"({made[0]} {made[1]} {made[2]})"),
        st.tuples(parts, st.sampled_from(["<", "<=", "==", "!=", "and", "or"]), parts).map(" ".join),
        st.tuples(parts, parts, parts).map(lambda made: f"({made[0]} if {made[1]} else {made[2]})"),
        st.tuples(st.sampled_from([*FUNCTIONS]), st.lists(parts, max_size=3)).map(
            lambda made: f"{made[0]}({', '.join(made[1])})"
        ),
        parts.map("-{}".format),
        parts.map("(not {})".format),
    )


# Built to be accepted: a price per unit, changed by conditions and plain ratios, times a meter.
ratios = st.sampled_from(
    ["1", "clamp((rpm - 1200) / 1800, 0, 1)", "factor", "(1 + factor)", "max(0.5, factor)", "hour / 24", "1 / 3"]
)
prices = st.sampled_from(
    [
        "0.02 * odometer",
        "odometer_km * 7",
        "spot * energy",
        "spot * energy_kwh",
        "max(spot, 0) * energy",
        "rent * running",
    ]
)
terms = st.tuples(prices, ratios).map(lambda made: f"{made[0]} * {made[1]}" if made[1] != "1 / 3" else f"{made[0]} / 3")
sums = st.lists(terms, min_size=1, max_size=4).map(" + ".join)
choices = st.tuples(
    sums, st.sampled_from(["6 <= hour < 22", "rpm > 1200 and factor", "not factor"]), sums | st.just("0")
)
linear = sums | choices.map(lambda made: f"({made[0]}) if {made[1]} else ({made[2]})")

anything = st.recursive(literals | names, deeper, max_leaves=12)
nearly = st.recursive(prices | terms | ratios | literals | names, deeper, max_leaves=5)  # one in six is accepted

counts = st.decimals(min_value=0, max_value=1000, places=3)
gauges = st.decimals(min_value=-2000, max_value=2000, places=2)


@given(linear, st.lists(st.tuples(counts, counts, counts), min_size=1, max_size=6), st.data())
def test_usage_in_any_steps_costs_the_same(source: str, steps: list[tuple[Decimal, ...]], data: st.DataObject) -> None:
    expression = compiled(source)
    assume(expression is not None)
    assert expression is not None
    fixed = {name: data.draw(gauges, label=name) for name in ("spot", "rent", "rpm", "factor")}
    fixed["hour"] = D(data.draw(st.integers(0, 23), label="hour"))

    def cost(odometer: Decimal, energy: Decimal, running: Decimal) -> Decimal:
        used = {"odometer": odometer, "odometer_km": odometer / 1000, "energy": energy, "energy_kwh": energy / 1000}
        assert expression is not None
        return expression.evaluate({**fixed, **used, "running": running, "running_h": running})

    in_steps = sum((cost(*step) for step in steps), D(0))
    at_once = cost(*(sum(column, D(0)) for column in zip(*steps, strict=True)))
    assert abs(in_steps - at_once) < D("1e-18")


def refusal(source: str, resolve: Callable[[str], Name | None] = find) -> ExpressionError | None:
    try:
        compile_expression(source, resolve, KR, TAGS)
    except ExpressionError as error:
        return error
    return None


@given(linear)
def test_a_price_times_a_meter_times_ratios_is_refused_only_for_its_units(source: str) -> None:
    error = refusal(source)
    assert error is None or "would be converted by" in error.text


@settings(max_examples=300)
@given(anything | nearly, st.data())
def test_no_expression_raises_anything_but_our_own_errors(source: str, data: st.DataObject) -> None:
    expression = compiled(source)
    if expression is None:
        return
    extreme = st.sampled_from([D(0), D("-0"), D(1), D("1e39"), D("1e41"), D("1e-999999"), D("1e999999"), D("nan")])
    values = {name: data.draw(gauges | extreme, label=name) for name in expression.names}
    with contextlib.suppress(Unpriceable):
        assert abs(expression.evaluate(values)) <= 10**9


@settings(max_examples=300)
@given(nearly, st.integers(min_value=2, max_value=9))
def test_whatever_is_accepted_is_linear(source: str, times: int) -> None:
    expression = compiled(source)
    if expression is None:
        return
    values = {name: D(7) for name in expression.names}
    more = {name: number * times if find(name).kind is NameKind.USAGE else number for name, number in values.items()}  # type: ignore[union-attr]
    try:
        once, often = expression.evaluate(values), expression.evaluate(more)
    except Unpriceable:
        return
    assert abs(once * times - often) < D("1e-12")


@given(st.text(max_size=60) | st.text("()*/+-<>=!., 0123456789abeforhilnt_'\"[]{}\\\n\x00\ud800", max_size=60))
@example("\ud800")
@example("é + \ud800")
@example("ﬁ * 2")
def test_no_text_raises_anything_but_our_own_errors(text: str) -> None:
    error = refusal(text, lambda _: TAGS["odometer"])
    assert error is None or 0 <= error.column <= len(text) + 1


@given(st.text("abcdefghijklmnopqrstuvwxyz_", max_size=20))
def test_no_identifier_raises_anything_but_our_own_errors(identifier: str) -> None:
    try:
        found = find_name(identifier, TAGS.get)
    except Rejected:
        return
    assert found is None or found[0] in {**TAGS, **TIME_NAMES}
