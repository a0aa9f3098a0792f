"""What the parts of a tariff measure, and which of them may be combined; conversions are exact."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from core.errors import Rejected
from core.money import CURRENCIES
from core.quantity import ONE, UNITS, Dimension, Unit

SHOWN_CHARACTERS_MAX = 60
"""How much of a part of an expression an error quotes."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Units and their powers, such as kr¹·kWh⁻¹. No two of them measure the same thing."""

    parts: tuple[tuple[Unit, int], ...] = ()

    @classmethod
    def of(cls, unit: Unit) -> Measure:
        """Take `kr/kWh` apart, so that `kWh` may meet `Wh` later; a symbol that is not ours stays whole."""
        measure, factor = cls(), Fraction(1)
        for place, group in enumerate(unit.symbol.split("/")):
            for symbol in re.split(r"[·*]", group):
                part = UNITS.get(symbol.strip())
                if part is None:
                    return cls(((unit, 1),))
                if part != ONE:
                    measure, step = measure.times(cls(((part, 1),)), -1 if place else 1)
                    factor *= step
        whole = factor == 1 and measure.dimension == unit.dimension and measure.factor == unit.factor
        return measure if whole else cls(((unit, 1),))

    def times(self, other: Measure, power: int = 1) -> tuple[Measure, Fraction]:
        """The product (power -1: the quotient), and what its number must be multiplied by: 1/1000 for kr/kWh × Wh."""
        parts = {unit.dimension: (unit, mine) for unit, mine in self.parts}
        factor = Fraction(1)
        for unit, theirs in other.parts:
            kept, mine = parts.get(unit.dimension, (unit, 0))
            factor *= (unit.factor / kept.factor) ** (theirs * power)
            parts[unit.dimension] = (kept, mine + theirs * power)
        return Measure(tuple((unit, mine) for unit, mine in parts.values() if mine)), factor

    @property
    def dimension(self) -> Dimension:
        powers: dict[str, int] = {}
        for unit, power in self.parts:
            for base, of_base in unit.dimension.powers:
                powers[base] = powers.get(base, 0) + of_base * power
        return Dimension.of(powers)

    @property
    def factor(self) -> Fraction:
        """Its size in base units, exact."""
        factor = Fraction(1)
        for unit, power in self.parts:
            factor *= unit.factor**power
        return factor

    @property
    def is_plain(self) -> bool:
        return not self.parts

    @property
    def is_money(self) -> bool:
        """Whether a currency is in it: kr, kr/kWh."""
        return any(base in CURRENCIES for unit, _ in self.parts for base, _ in unit.dimension.powers)

    def __str__(self) -> str:
        over = "·".join(_powered(unit, power) for unit, power in self.parts if power > 0)
        under = "".join(f"/{_powered(unit, -power)}" for unit, power in self.parts if power < 0)
        return f"{over or '1' * bool(under)}{under}" or "a plain number"


def _powered(unit: Unit, power: int) -> str:
    return unit.symbol if power == 1 else f"{unit.symbol}^{power}"


class ExpressionError(Rejected):
    """The expression cannot be used; `text` says why, `column` where: the first character is 1, 0 is the whole."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__("bad_expression", message)
        self.column = column


@dataclass(frozen=True, slots=True)
class Operand:
    """A part of an expression: where it stands, how it is computed, what it measures.

    `open`: a plain number is multiplied in, which may carry a unit that was not written. `degree`: how many
    meters are factors of it. `zero`: a literal 0, which fits any unit and degree. `truth`: true or false.
    """

    text: str
    column: int
    code: ast.expr
    measure: Measure = Measure()
    degree: int = 0
    open: bool = False
    zero: bool = False
    truth: bool = False

    @property
    def adopts(self) -> bool:
        """Whether it takes the unit of what it stands beside. With a price's unit in it, it has one already."""
        return self.open and not self.measure.is_money

    def __str__(self) -> str:
        text = self.text if len(self.text) <= SHOWN_CHARACTERS_MAX else f"{self.text[:SHOWN_CHARACTERS_MAX]}…"
        return f"{text!r} at column {self.column}"


@dataclass(frozen=True, slots=True)
class Rules:
    """How parts of an expression combine when its result must be `result`; each raises ExpressionError."""

    result: Measure

    def settled(self, part: Operand) -> Operand:
        """A plain ratio without percent or kWh/Wh left in it, and money in the result's currency unit."""
        dimension = part.measure.dimension
        target = next((whole for whole in (Measure(), self.result) if whole.dimension == dimension), part.measure)
        return _converted(part, part.measure.factor / target.factor, target)

    def product(self, part: Operand, left: Operand, right: Operand, divide: bool) -> Operand:
        """What `part` is, the product or quotient of two numbers."""
        _require_number(left)
        _require_number(right)
        if divide and right.zero:
            raise ExpressionError(f"{part} divides by zero", right.column)
        if divide and right.degree:
            raise ExpressionError(f"{right} is a meter: a tariff may multiply by usage, not divide by it", right.column)
        if left.degree and right.degree:
            raise ExpressionError(
                f"{part} multiplies a meter by a meter; usage taken in two steps would not cost the same", right.column
            )
        measure, factor = left.measure.times(right.measure, -1 if divide else 1)
        is_open = left.open or right.open
        if divide and right.open and right.measure.is_plain and not (left.open or left.degree or left.measure.is_money):
            measure, is_open = Measure(), True
        part = replace(part, measure=measure, degree=left.degree + right.degree, open=is_open)
        return self.settled(_converted(part, factor, measure))

    def alike(self, parts: Sequence[Operand], verb: str) -> tuple[list[Operand], Measure, bool]:
        """The same parts in one unit, that unit, and whether it is open; refused when one measures something else."""
        for part in parts:
            _require_number(part)
        numbers = [part for part in parts if not part.zero]
        firm = [part for part in numbers if not part.adopts]
        if not firm and len({part.measure.dimension for part in numbers}) > 1:
            return list(parts), Measure(), True
        base = next(iter(firm or numbers), parts[0])
        is_open = all(part.open for part in numbers)
        fitted = []
        for part in parts:
            if part.measure.dimension == base.measure.dimension:
                factor = part.measure.factor / base.measure.factor
                if base.open:
                    _require_no_conversion(part, factor, base.measure)
                part = _converted(part, factor, base.measure)
            elif not part.adopts and not part.zero:
                first, second = sorted((base, part), key=lambda either: either.column)
                raise ExpressionError(
                    f"cannot {verb} {first.measure} (column {first.column}) and "
                    f"{second.measure} (column {second.column})",
                    second.column,
                )
            fitted.append(part)
        return fitted, base.measure, is_open

    def same_degree(self, parts: Sequence[Operand]) -> int:
        """How many meters are factors of each; refused when some have one and others none."""
        degree = max(part.degree for part in parts)
        for part in parts:
            if part.degree < degree and not part.zero:
                raise charged_always(part)
        return degree

    def final(self, part: Operand) -> None:
        """The whole must be an amount in `result`, with one meter as a factor of each term."""
        if part.truth:
            raise ExpressionError(f"the expression gives true or false, expected {self.result}", 0)
        if part.measure.dimension != self.result.dimension and not part.adopts:
            hint = "; give its plain numbers a unit, as constants" if part.open else ""
            raise ExpressionError(f"the expression gives {part.measure}, expected {self.result}{hint}", 0)
        if part.degree == 0 and not part.zero:
            raise charged_always(part)


def charged_always(part: Operand) -> ExpressionError:
    return ExpressionError(
        f"{part} is charged at every reading, however small the step; multiply it by a meter", part.column
    )


def _require_number(part: Operand) -> None:
    if part.truth:
        raise ExpressionError(f"{part} is true or false, expected a number", part.column)


def _require_no_conversion(part: Operand, factor: Fraction, to: Measure) -> None:
    if factor != 1:
        raise ExpressionError(
            f"{part} would be converted by {factor} to {to}, but a plain number in it may do so already; "
            "write the names in one unit, such as energy_kwh, or the plain number last",
            part.column,
        )


def _converted(part: Operand, factor: Fraction, to: Measure) -> Operand:
    """The same quantity in another unit: times the numerator, then by the denominator, so that it stays exact."""
    if part.open:
        _require_no_conversion(part, factor, to)
    code = part.code
    for number, operation in ((factor.numerator, ast.Mult()), (factor.denominator, ast.Div())):
        if number != 1:
            code = ast.BinOp(left=code, op=operation, right=ast.Constant(number))
    return replace(part, code=code, measure=to)
