"""What every connector can do: connect, read, close; and what each may raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.clock import Instant
from core.sample import Quality, TagId, Value


@dataclass(frozen=True, slots=True)
class Reading:
    """One tag as the device gave it, scaled to the tag's unit.

    `source_time` is the device's own, or the connector's where that would be out of order; None: the time of the read.
    """

    tag: TagId
    value: Value
    quality: Quality
    source_time: Instant | None = None
    reason: str = ""


def bad(tag: TagId, reason: str, source_time: Instant | None = None) -> Reading:
    """A reading without a value; `reason` says what was expected and what came."""
    return Reading(tag, None, Quality.BAD, source_time, reason)


class Connector(Protocol):
    """A way to read one machine. Used by one task at a time, again after `close`."""

    @property
    def every_seconds(self) -> float | None:
        """How often `read` is wanted; None when `read` itself waits for news."""
        ...

    async def connect(self) -> None:
        """Raises Unavailable when the device cannot be reached."""
        ...

    async def read(self) -> list[Reading]:
        """What the device says now, or the news since the last call and what is known not to have changed.

        [] when nothing is known.

        Raises Unavailable when the device is lost. A tag that alone cannot be read is a BAD reading.
        """
        ...

    async def close(self) -> None:
        """Let go of the device. Never raises; harmless when not connected."""
        ...
