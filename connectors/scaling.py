"""Raw numbers become engineering values: exact decimals, never a binary float."""

from __future__ import annotations

import struct
from collections.abc import Callable
from decimal import Context, Decimal

EXACT = Context(prec=60)
"""Room for a 64-bit register times a scale of 28 digits, without rounding."""

Scale = Callable[[int | Decimal], int | Decimal]

_FLOAT32 = struct.Struct(">f")


def unscaled(raw: int | Decimal) -> int | Decimal:
    """The raw number is the value."""
    return raw


def scaler(scale: Decimal, offset: Decimal) -> Scale:
    """The function raw → raw · scale + offset. Whole numbers stay `int` when scale and offset are whole."""
    if scale == 1 and offset == 0:
        return unscaled
    if scale == scale.to_integral_value() and offset == offset.to_integral_value():
        factor, shift = int(scale), int(offset)
        return lambda raw: raw * factor + shift if isinstance(raw, int) else _scaled(raw, scale, offset)
    return lambda raw: _scaled(raw, scale, offset)


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
