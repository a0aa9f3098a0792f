"""Raw numbers become engineering values: exact decimals, never a binary float."""

from __future__ import annotations

import struct
from collections.abc import Callable
from decimal import Context, Decimal

EXACT = Context(prec=60)
"""Room for a 64-bit register times a scale of 28 digits, without rounding."""

MEASURABLE = 10**18
"""No machine measures this much of anything: such a number is garbage, whatever its status says."""

Scale = Callable[[int | Decimal], int | Decimal]
"""Raises ValueError, which names the bound, for a value outside its bounds."""

_FLOAT32 = struct.Struct(">f")


def unscaled(raw: int | Decimal) -> int | Decimal:
    """The raw number is the value; ValueError when it is beyond what can be measured."""
    if not -MEASURABLE < raw < MEASURABLE:
        raise ValueError(f"expected a number of at most 18 digits, got {raw}: beyond what can be measured")
    return raw


def scaler(scale: Decimal, offset: Decimal, low: Decimal | None = None, high: Decimal | None = None) -> Scale:
    """The function raw → raw · scale + offset. Whole numbers stay `int` when scale and offset are whole.

    It raises ValueError for a value below `low`, above `high`, or beyond what can be measured.
    """
    scaled = _line(scale, offset)
    if low is None and high is None:
        return unscaled if scaled is None else lambda raw: unscaled(scaled(raw))
    return lambda raw: _bounded(unscaled(raw if scaled is None else scaled(raw)), low, high)


def _line(scale: Decimal, offset: Decimal) -> Scale | None:
    """None when the raw number is the value."""
    if scale == 1 and offset == 0:
        return None
    if scale == scale.to_integral_value() and offset == offset.to_integral_value():
        factor, shift = int(scale), int(offset)
        return lambda raw: raw * factor + shift if isinstance(raw, int) else _scaled(raw, scale, offset)
    return lambda raw: _scaled(raw, scale, offset)


def _bounded(value: int | Decimal, low: Decimal | None, high: Decimal | None) -> int | Decimal:
    if low is not None and value < low:
        raise ValueError(f"expected at least min {low:f}, got {Decimal(value):f}")
    if high is not None and value > high:
        raise ValueError(f"expected at most max {high:f}, got {Decimal(value):f}")
    return value


def _scaled(raw: int | Decimal, scale: Decimal, offset: Decimal) -> Decimal:
    product = EXACT.multiply(raw, scale)
    return EXACT.add(product, offset) if offset else product


def decimal_of_float32(value: float) -> Decimal:
    """The shortest decimal that names this float32: 0.1, not 0.100000001490116. Finite values only."""
    for digits in (6, 7, 8):
        text = f"{value:.{digits}g}"
        if _FLOAT32.pack(float(text)) == _FLOAT32.pack(value):
            return Decimal(text)
    return Decimal(f"{value:.9g}")


def decimal_of_float64(value: float) -> Decimal:
    """The shortest decimal that names this float64. Finite values only."""
    return Decimal(repr(value))
