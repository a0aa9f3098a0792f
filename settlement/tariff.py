"""A tariff: one expression, its constants, and examples that it must get right before it goes live."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from core.errors import Rejected
from core.money import SYMBOLS, Currency, Money
from core.quantity import UNITS, Quantity, Unit, parse_unit
from settlement.expression import ARITHMETIC, Expression, ExpressionError, compile_expression, decimal_of, unpriceable
from settlement.names import TIME_NAMES, Name, NameKind, find_name

EXPECT = "expect"

_NumberOrText = Annotated[str, Field(coerce_numbers_to_str=True), WithJsonSchema({"type": ["string", "number"]})]
_Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class TariffSettings(BaseModel):
    """A tariff as the plant's file has it; a plain text is its charge."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    charge: Annotated[
        _NumberOrText, Field(description="The price of a step, in the currency of the accounts: `12 * odometer`.")
    ]
    per: Annotated[
        str | None, Field(description="What the price is per, such as km; a meter's bare name then counts in it.")
    ] = None
    constants: Annotated[
        dict[_Identifier, _NumberOrText], Field(description="Names for numbers and their units: `wear: 950 kr/h`.")
    ] = {}
    examples: Annotated[
        tuple[dict[str, _NumberOrText], ...],
        Field(description="A value for each name, and what to `expect`: checked before the tariff is used."),
    ] = ()

    @model_validator(mode="before")
    @classmethod
    def _charge_alone(cls, value: Any) -> Any:
        return {"charge": value} if isinstance(value, str | int | float) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler.resolve_ref_schema(handler(core_schema))]}


@dataclass(frozen=True, slots=True)
class TariffProblem:
    """One thing wrong with a tariff: under which key, and in a charge at which column (0: the whole)."""

    message: str
    column: int
    key: str


@dataclass(frozen=True, slots=True)
class Term:
    """A name in the expression: the input it is computed from, times `factor`, counts in `unit`."""

    name: str
    input: str
    factor: Fraction
    unit: Unit


@dataclass(frozen=True, slots=True)
class Tariff:
    """A checked tariff. `inputs` are the tags, prices and names of time it must be given, each in its own unit."""

    name: str
    expression: Expression
    constants: Mapping[str, Decimal]
    inputs: tuple[str, ...]
    terms: tuple[Term, ...]
    unit: Unit
    digest: str

    def price(self, values: Mapping[str, Decimal]) -> Decimal:
        """What these inputs cost, exact, in whole currency; raises Unpriceable."""
        return self.expression.evaluate(self._written(values))

    def priced(self, values: Mapping[str, Decimal]) -> tuple[Decimal, dict[str, Any]]:
        """What these inputs cost, and how that came about, for the record; raises Unpriceable."""
        written = self._written(values)
        amount = self.expression.evaluate(written)
        return amount, {
            "tariff": self.name,
            "expression": self.expression.source,
            "digest": self.digest,
            "inputs": {term.name: _shown(written[term.name], term.unit) for term in self.terms},
            "result": _shown(amount, self.unit),
        }

    def working(self, values: Mapping[str, Decimal]) -> dict[str, Any]:
        """How the price came about, for the record; raises Unpriceable."""
        return self.priced(values)[1]

    def _written(self, values: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """Each name of the expression in the unit that its name says."""
        written = {}
        for term in self.terms:
            given = self.constants[term.name] if term.name in self.constants else values.get(term.input)
            written[term.name] = _times(decimal_of(term.input, given), term.factor)
        return written


def compile_tariff(
    name: str,
    settings: TariffSettings,
    resolve: Callable[[str], Name | None],
    currency: Currency,
    known: Iterable[str] = (),
) -> tuple[Tariff | None, list[TariffProblem]]:
    """The tariff, or None and everything wrong with it.

    `resolve` knows tags and prices by their exact names; `energy_kwh` and the names of time are found here.
    """
    known = tuple(known)
    unit = _unit_of(currency)
    constants, problems = _constants(settings, resolve)
    per = None
    try:
        per = parse_unit(settings.per) if settings.per is not None else None
    except Rejected as refusal:
        problems.append(TariffProblem(refusal.text, 0, "per"))
    terms: dict[str, Term] = {}
    not_per: dict[str, TariffProblem] = {}

    def found(identifier: str) -> Name | None:
        if identifier in constants:
            terms[identifier] = Term(identifier, identifier, Fraction(1), constants[identifier].unit)
            return Name(NameKind.VALUE, constants[identifier].unit)
        known_as = find_name(identifier, resolve)
        if known_as is None:
            return None
        source, factor, what = known_as
        if what.kind is NameKind.USAGE and per is not None:
            if what.unit.dimension != per.dimension:
                message = f"{source} is counted in {what.unit}, it cannot be priced per {per}"
                not_per[source] = TariffProblem(message, 0, "per")
            elif source == identifier:
                factor, what = what.unit.factor_to(per), Name(what.kind, per)
        terms[identifier] = Term(identifier, source, factor, what.unit)
        return what

    expression = None
    try:
        expression = compile_expression(settings.charge, found, unit, [*known, *constants])
    except ExpressionError as error:
        misread = settings.constants.keys() - constants.keys()  # reported already, and now unknown to the charge
        if not misread & set(re.findall(r"\w+", settings.charge)):
            problems.append(TariffProblem(error.text, error.column, "charge"))
    problems.extend(not_per.values())
    if expression is None:
        return None, problems
    inputs = tuple(dict.fromkeys(term.input for term in terms.values() if term.name not in constants))
    values = {constant: quantity.value for constant, quantity in constants.items()}
    meaning = [
        expression.digest,
        *(f"{term.name} = {term.input} * {term.factor}" for term in terms.values()),
        *(f"{constant}: {value}" for constant, value in sorted(values.items())),
    ]
    digest = hashlib.sha256("\n".join(meaning).encode()).hexdigest()
    tariff = Tariff(name, expression, values, inputs, tuple(terms[each] for each in expression.names), unit, digest)
    for place, example in enumerate(settings.examples):
        message = _disagreement(tariff, example, currency)
        if message:
            problems.append(TariffProblem(message, 0, f"examples[{place}]"))
    return (None if problems else tariff), problems


def _constants(
    settings: TariffSettings, resolve: Callable[[str], Name | None]
) -> tuple[dict[str, Quantity], list[TariffProblem]]:
    constants, problems = {}, []
    for name, text in settings.constants.items():
        try:
            constants[name] = Quantity.parse(text)
        except Rejected as refusal:
            problems.append(TariffProblem(refusal.text, 0, f"constants.{name}"))
            continue
        if name in TIME_NAMES or resolve(name) is not None:
            message = f"{name!r} already names a tag, a price or a time; call the constant something else"
            problems.append(TariffProblem(message, 0, f"constants.{name}"))
    return constants, problems


def _disagreement(tariff: Tariff, example: Mapping[str, str], currency: Currency) -> str:
    """What is wrong with an example, or nothing."""
    terms = {term.name: term for term in tariff.terms if term.name not in tariff.constants}
    given = {name: text for name, text in example.items() if name != EXPECT}
    if EXPECT not in example:
        return f"says nothing to {EXPECT}, such as {EXPECT}: 17.20 {tariff.unit}"
    strange = [name for name in given if name not in terms]
    for name in strange:
        near = difflib.get_close_matches(name, terms, n=1)
        return f"{name!r} is not an input of the charge" + (f"; did you mean {near[0]!r}?" if near else "")
    missing = [name for name in terms if name not in given]
    if missing:
        return f"gives no value for {', '.join(missing)}"
    try:
        expected = Money.parse(example[EXPECT])
        values = {name: _example_value(text, terms[name].unit) for name, text in given.items()}
        result = Money.rounded(tariff.expression.evaluate({**tariff.constants, **values}), currency)
    except Rejected as refusal:
        return refusal.text
    if result == expected:
        return ""
    decimals = result.plain().rstrip("0").partition(".")[2].ljust(currency.exponent, "0")
    gives = f"{result.plain().partition('.')[0]}.{decimals}".rstrip(".")
    return f"expected {example[EXPECT]}, the expression gives {gives} {tariff.unit}"


def _example_value(text: str, unit: Unit) -> Decimal:
    """A number, in the unit its name says; or a number with another unit of the same kind."""
    quantity = Quantity.parse(text)
    if quantity.unit == UNITS[""]:
        return quantity.value
    return _times(quantity.value, quantity.unit.factor_to(unit))


def _times(number: Decimal, factor: Fraction) -> Decimal:
    if factor == 1:
        return number
    try:
        return ARITHMETIC.divide(ARITHMETIC.multiply(number, factor.numerator), factor.denominator)
    except ArithmeticError as error:
        raise unpriceable(error) from None


def _shown(number: Decimal, unit: Unit) -> str:
    return f"{number.normalize(ARITHMETIC):f} {unit}".rstrip()


def _unit_of(currency: Currency) -> Unit:
    """The currency's unit, as people write it: kr for SEK."""
    symbols = [symbol for symbol, (of, decimals) in SYMBOLS.items() if of == currency and not decimals]
    return UNITS[symbols[0] if symbols else currency.code]
