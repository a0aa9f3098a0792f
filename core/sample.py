"""One reading of one tag, with what is known about its truth and its time."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import NewType

from core.clock import Instant

TagId = NewType("TagId", str)
"""`machine.tag`, such as `agv-7.odometer`."""

Value = bool | int | Decimal | str | None
"""What a tag can hold. No float: a float32 register becomes the shortest decimal that names it."""


class Quality(IntEnum):
    """As OPC UA groups its status codes (Part 4, 7.38): may it be used, may it be billed from."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """A value read from a machine, scaled to the tag's unit.

    `source_time` is the device's own time when it has one, else the time of the read; `arrival_time`
    is ours. A sample that is not GOOD says why in `reason`; a BAD one has the value None.
    """

    tag: TagId
    value: Value
    quality: Quality
    source_time: Instant
    arrival_time: Instant
    reason: str = ""


def tag_id(machine: str, tag: str) -> TagId:
    return TagId(f"{machine}.{tag}")
