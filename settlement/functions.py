"""The functions a tariff may call: pure, quick, exact; a new one is one line in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal


def _clamp(number: Decimal, low: Decimal, high: Decimal) -> Decimal:
    return max(low, min(number, high))


def _between(number: Decimal, low: Decimal, high: Decimal) -> bool:
    return low <= number < high


@dataclass(frozen=True, slots=True)
class Function:
    """A function a tariff may call: its arguments share one unit, which is its result's too. None may be usage."""

    apply: Callable[..., Decimal | bool]
    least: int
    most: int
    truth: bool = False


FUNCTIONS: Mapping[str, Function] = {
    "min": Function(min, 2, 10),
    "max": Function(max, 2, 10),
    "clamp": Function(_clamp, 3, 3),
    "floor": Function(lambda number: number.to_integral_value(ROUND_FLOOR), 1, 1),
    "ceil": Function(lambda number: number.to_integral_value(ROUND_CEILING), 1, 1),
    "round": Function(lambda number: number.to_integral_value(ROUND_HALF_EVEN), 1, 1),
    "abs": Function(abs, 1, 1),
    "between": Function(_between, 3, 3, truth=True),
}
"""`between(x, low, high)` is low ≤ x < high; `round` takes ties to even."""
