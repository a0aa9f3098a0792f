"""Modbus addresses as manuals print them: `holding:40011`, `input:30021`, `discrete:10001`, `coil:1`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from core.errors import Rejected

Base = Literal["manual", 0, 1]
"""How a number becomes the offset in the frame: `manual` knows 40001 and 400001 and counts from 1; 0 is raw."""

OFFSET_MAX = 65535


class Area(StrEnum):
    """The four tables of a Modbus device (Modbus Application Protocol V1.1b3, 4.3)."""

    COIL = "coil"
    DISCRETE = "discrete"
    INPUT = "input"
    HOLDING = "holding"

    @property
    def function_code(self) -> int:
        """The function that reads it."""
        return {"coil": 1, "discrete": 2, "holding": 3, "input": 4}[self.value]

    @property
    def prefix(self) -> str:
        """The digit manuals put in front of its numbers."""
        return {"coil": "0", "discrete": "1", "input": "3", "holding": "4"}[self.value]

    @property
    def holds_bits(self) -> bool:
        return self in (Area.COIL, Area.DISCRETE)


_ADDRESS = re.compile(r"\s*(coil|discrete|input|holding)\s*:\s*([0-9]{1,6})(?:\.([0-9]{1,2}))?\s*")


@dataclass(frozen=True, slots=True)
class Address:
    """An address as written; the device's `base` says what it means. `bit` picks one of a register, 0 the lowest."""

    area: Area
    digits: str
    bit: int | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `holding:40011` or `holding:40011.3`; Rejected `not_an_address` otherwise."""
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise Rejected(
                "not_an_address",
                "expected a table and a number such as 'holding:40011', 'input:30021', 'discrete:10001' "
                f"or 'coil:1', got {text!r}",
            )
        area = Area(match[1])
        bit = None if match[3] is None else int(match[3])
        if bit is not None and area.holds_bits:
            raise Rejected("not_an_address", f"{text!r}: a {area} is one bit already; drop '.{bit}'")
        if bit is not None and bit > 15:
            raise Rejected("not_an_address", f"{text!r}: a register has bits 0 to 15, not {bit}")
        return cls(area, match[2], bit)

    def offset(self, base: Base) -> int:
        """The address in the frame, 0 to 65535; Rejected `not_an_address` when it cannot be one."""
        number = int(self.digits)
        if base == 0:
            return self._within(number)
        if base == 1:
            return self._within(number - 1)
        if len(self.digits) >= 5 and self.digits[0] == self.area.prefix:
            return self._within(int(self.digits[1:]) - 1)
        for other in Area:
            if len(self.digits) >= 5 and self.digits[0] == other.prefix:
                raise Rejected(
                    "not_an_address",
                    f"{self}: {self.digits} is a {other} address; write '{other}:{self.digits}', or set 'base: 1' "
                    f"if this device really numbers a {self.area} {number}",
                )
        return self._within(number - 1)

    def _within(self, offset: int) -> int:
        if not 0 <= offset <= OFFSET_MAX:
            first = f"{self.area}:{self.area.prefix}0001"
            raise Rejected("not_an_address", f"{self}: outside the 65536 addresses of a table; the first is {first!r}")
        return offset

    def __str__(self) -> str:
        return f"{self.area}:{self.digits}" if self.bit is None else f"{self.area}:{self.digits}.{self.bit}"
