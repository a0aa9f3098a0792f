"""Pure Modbus: which registers to ask for, and what the answer means."""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from connectors.connector import Reading, bad
from connectors.modbus_address import Area
from connectors.scaling import Scale, decimal_of_float32, decimal_of_float64, unscaled
from core.sample import Quality, TagId

BITS_PER_REGISTER = 16
BITS_MAX = 2000
"""Most coils or discrete inputs in one answer (Modbus Application Protocol V1.1b3, 6.1)."""
REGISTERS_MAX = 125
"""Most registers in one answer (same, 6.3)."""


class RegisterType(StrEnum):
    """What the bits of a tag mean."""

    BOOL = "bool"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"

    @property
    def layout(self) -> str:
        """Its code in `struct`; a bool in a register is one bit of an unsigned word."""
        return _LAYOUTS[self]

    @property
    def words(self) -> int:
        """Registers it takes."""
        return struct.calcsize(">" + self.layout) // 2

    @property
    def is_float(self) -> bool:
        return self in (RegisterType.FLOAT32, RegisterType.FLOAT64)


_LAYOUTS = dict(zip(RegisterType, "HhHiIqQfd", strict=True))


class Order(StrEnum):
    """How a device lays the bytes of a value, A the most significant, into registers.

    For 64 bits read each letter as the two bytes it stands for: big-endian, words reversed, bytes swapped
    within words, both. For 16 bits only the byte swap matters.
    """

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"

    @property
    def view(self) -> tuple[bool, str]:
        """Whether to swap the bytes of each word first, and the `struct` byte order to read the result with.

        Four orders are two buffers read in two directions, so that one call unpacks all tags of an order.
        """
        return _VIEWS[self]


_VIEWS = {
    Order.ABCD: (False, ">"),
    Order.DCBA: (False, "<"),
    Order.BADC: (True, ">"),
    Order.CDAB: (True, "<"),
}


@dataclass(frozen=True, slots=True)
class RegisterTag:
    """One tag of a Modbus device. `not_available` is the raw pattern by which the device says it has no value."""

    tag: TagId
    area: Area
    offset: int
    type: RegisterType
    order: Order = Order.ABCD
    bit: int | None = None
    scale: Scale = unscaled
    not_available: int | None = None

    @property
    def length(self) -> int:
        """Addresses it takes in its table."""
        return 1 if self.area.holds_bits else self.type.words

    @property
    def end(self) -> int:
        return self.offset + self.length


Decode = Callable[[float], Reading]
"""One unpacked field, int or float, becomes its reading."""


@dataclass(frozen=True, slots=True)
class _Lane:
    """Tags of one order that do not overlap, unpacked by a single call."""

    swapped: bool
    unpack: struct.Struct
    decodes: tuple[Decode, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """One request: `count` addresses of `area` from `start`, and the tags in its answer."""

    area: Area
    start: int
    count: int
    tags: tuple[RegisterTag, ...]
    _lanes: tuple[_Lane, ...] = field(repr=False, compare=False, default=())

    @classmethod
    def of(cls, tags: Sequence[RegisterTag]) -> Block:
        """The smallest block that holds these tags, all of one area."""
        start = min(tag.offset for tag in tags)
        count = max(tag.end for tag in tags) - start
        area = tags[0].area
        lanes = () if area.holds_bits else tuple(_lanes(tags, start, count))
        return cls(area, start, count, tuple(tags), lanes)

    @property
    def byte_count(self) -> int:
        """Bytes of data in the answer."""
        return (self.count + 7) // 8 if self.area.holds_bits else self.count * 2

    def decode(self, data: bytes) -> list[Reading]:
        """The readings in an answer's data, which is `byte_count` bytes long."""
        if len(data) != self.byte_count:
            raise ValueError(f"{self} answers {self.byte_count} bytes, not {len(data)}")
        if self.area.holds_bits:
            # The first bit asked for is the lowest bit of the first byte (V1.1b3, 6.1).
            bits = int.from_bytes(data, "little")
            return [Reading(tag.tag, bool(bits >> tag.offset - self.start & 1), Quality.GOOD) for tag in self.tags]
        words = array("H", data)
        words.byteswap()
        swapped = words.tobytes()
        return [
            decode(number)
            for lane in self._lanes
            for decode, number in zip(lane.decodes, lane.unpack.unpack(swapped if lane.swapped else data), strict=True)
        ]

    def halves(self) -> tuple[Block, Block]:
        """Two blocks that share the tags; for a device that refuses an address somewhere in this one."""
        middle = len(self.tags) // 2
        return Block.of(self.tags[:middle]), Block.of(self.tags[middle:])

    def __str__(self) -> str:
        return f"{self.area} offset {self.start} count {self.count}"


def plan(tags: Iterable[RegisterTag], max_gap: int, max_registers: int) -> list[Block]:
    """The requests that read these tags: neighbours together, a tag never in two of them.

    `max_gap` is how many registers nobody asked for may be read along, `max_registers` the most in one request;
    sixteen coils weigh as one register. A tag longer than `max_registers` still gets its whole block.
    """
    blocks: list[Block] = []
    ordered = sorted(tags, key=lambda tag: (tag.area.function_code, tag.offset, tag.length))
    group: list[RegisterTag] = []
    end = 0
    for tag in ordered:
        weight = BITS_PER_REGISTER if tag.area.holds_bits else 1
        limit = min(max_registers * weight, BITS_MAX if tag.area.holds_bits else REGISTERS_MAX)
        if group and (
            tag.area is not group[0].area
            or tag.offset - end > max_gap * weight
            or max(end, tag.end) - group[0].offset > limit
        ):
            blocks.append(Block.of(group))
            group = []
        end = max(end, tag.end) if group else tag.end
        group.append(tag)
    if group:
        blocks.append(Block.of(group))
    return blocks


def _lanes(tags: Sequence[RegisterTag], start: int, count: int) -> Iterator[_Lane]:
    """Group tags by order; one that overlaps its predecessor goes to a further lane of the same order."""
    for order in Order:
        waiting = sorted((tag for tag in tags if tag.order is order), key=lambda tag: tag.offset)
        while waiting:
            lane: list[RegisterTag] = []
            overlapping: list[RegisterTag] = []
            for tag in waiting:
                (overlapping if lane and tag.offset < lane[-1].end else lane).append(tag)
            yield _lane(order, lane, start, count)
            waiting = overlapping


def _lane(order: Order, tags: Sequence[RegisterTag], start: int, count: int) -> _Lane:
    swapped, layout = order.view
    position = start
    for tag in tags:
        layout += f"{2 * (tag.offset - position)}x{tag.type.layout}"
        position = tag.end
    layout += f"{2 * (start + count - position)}x"
    return _Lane(swapped, struct.Struct(layout), tuple(_decode(tag) for tag in tags))


def _decode(tag: RegisterTag) -> Decode:
    name, scale = tag.tag, tag.scale
    if tag.type is RegisterType.BOOL:
        bit = tag.bit or 0
        return lambda raw: Reading(name, bool(int(raw) >> bit & 1), Quality.GOOD)

    missing = None if tag.not_available is None else pattern_value(tag.type, tag.not_available)
    absent = bad(name, "the device says the value is not available")
    if tag.type.is_float:
        decimal_of = decimal_of_float32 if tag.type is RegisterType.FLOAT32 else decimal_of_float64

        def decode_float(raw: float) -> Reading:
            if raw == missing:
                return absent
            if not math.isfinite(raw):
                return bad(name, f"expected a number, the register holds {raw}")
            return _measured(name, scale, decimal_of(raw))

        return decode_float

    def decode_integer(raw: float) -> Reading:
        return absent if raw == missing else _measured(name, scale, int(raw))

    return decode_integer


def _measured(name: TagId, scale: Scale, raw: int | Decimal) -> Reading:
    try:
        return Reading(name, scale(raw), Quality.GOOD)
    except ValueError as error:
        return bad(name, str(error))


def pattern_value(type: RegisterType, pattern: int) -> float:
    """The number whose bits are `pattern`, also given as that number itself for a signed type; ValueError if neither.

    `0x8000` and `-32768` both mean the lowest int16.
    """
    bits = 16 * type.words
    lowest = -(1 << bits - 1) if type in (RegisterType.INT16, RegisterType.INT32, RegisterType.INT64) else 0
    if not lowest <= pattern < 1 << bits:
        raise ValueError(f"expected a pattern of {bits} bits for {type}, got {pattern:#x}")
    number: float = struct.unpack(">" + type.layout, (pattern % (1 << bits)).to_bytes(bits // 8, "big"))[0]
    return number
