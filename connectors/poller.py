"""One task per machine: reads it on time, tells samples on, and says once when it is lost and once when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import floor
from typing import NoReturn

import structlog

from connectors.connector import Connector, Reading, bad
from core.clock import Clock
from core.errors import InvariantBroken, Unavailable
from core.sample import Sample, TagId

RETRY_SECONDS_MIN = 0.5
RETRY_SECONDS_MAX = 30.0

Deliver = Callable[[list[Sample]], Awaitable[None]]

log = structlog.get_logger()


@dataclass(slots=True)
class PollerStats:
    """What a poller has done; others may read it at any time."""

    connected: bool = False
    reads: int = 0
    samples: int = 0
    lost: int = 0
    late: int = 0
    """Reads that were skipped because the one before took longer than its period."""
    last_error: str = ""


class Poller:
    """Keeps one machine read for as long as `run` runs. Whatever its connector does, it disturbs only itself."""

    def __init__(
        self, machine: str, connector: Connector, tags: Sequence[TagId], deliver: Deliver, clock: Clock
    ) -> None:
        self.machine = machine
        self.stats = PollerStats()
        self._connector = connector
        self._tags = tuple(tags)
        self._deliver = deliver
        self._clock = clock
        self._told_lost = False
        self._told_bug = False

    async def run(self) -> NoReturn:
        """Read for ever; ends by cancellation, or by what `deliver` raises."""
        retry_seconds = RETRY_SECONDS_MIN
        try:
            while True:
                reads_before = self.stats.reads
                failure = await self._read_until_lost()
                if self.stats.reads > reads_before:
                    retry_seconds = RETRY_SECONDS_MIN
                await self._lost(failure, retry_seconds)
                await asyncio.sleep(retry_seconds)
                retry_seconds = min(2 * retry_seconds, RETRY_SECONDS_MAX)
        finally:
            self.stats.connected = False
            await self._connector.close()

    async def _read_until_lost(self) -> Exception:
        """Connect and read until the connector fails; the failure is the answer."""
        try:
            await self._connector.connect()
        except InvariantBroken:
            raise
        except Exception as error:
            return error
        due = self._clock.monotonic()
        while True:
            try:
                readings = await self._connector.read()
            except InvariantBroken:
                raise
            except Exception as error:
                _end_if_cancelled()
                return error
            _end_if_cancelled()
            self._connected()
            await self._hand_over(readings)
            if (every := self._connector.every_seconds) is not None:
                due = self._next_due(due, every)
                # Give way even when already late: other machines share this thread.
                await asyncio.sleep(max(due - self._clock.monotonic(), 0))

    def _next_due(self, due: float, every: float) -> float:
        """The next instant on the grid of the first read: no drift, and missed instants are not caught up."""
        steps = max(floor((self._clock.monotonic() - due) / every), 0) + 1
        self.stats.late += steps - 1
        return due + steps * every

    async def _hand_over(self, readings: Sequence[Reading]) -> None:
        if not readings:
            return
        now = self._clock.now()
        self.stats.samples += len(readings)
        await self._deliver(
            [
                Sample(
                    reading.tag,
                    reading.value,
                    reading.quality,
                    now if reading.source_time is None else reading.source_time,
                    now,
                    reading.reason,
                )
                for reading in readings
            ]
        )

    def _connected(self) -> None:
        self.stats.reads += 1
        if not self.stats.connected:
            self.stats.connected = True
            log.info("machine is back" if self._told_lost else "machine connected", machine=self.machine)
            self._told_lost = self._told_bug = False

    async def _lost(self, failure: Exception, retry_seconds: float) -> None:
        """Let go of the device; the first time, say so in the log and with a BAD sample for every tag."""
        self.stats.connected = False
        self.stats.last_error = str(failure) or type(failure).__name__
        if not isinstance(failure, Unavailable) and not self._told_bug:
            self._told_bug = True
            log.error("connector failed, machine lost", machine=self.machine, exc_info=failure)
        elif not self._told_lost:
            log.warning("machine lost", machine=self.machine, reason=self.stats.last_error, retry_seconds=retry_seconds)
        if not self._told_lost:
            self._told_lost = True
            self.stats.lost += 1
            await self._hand_over([bad(tag, self.stats.last_error) for tag in self._tags])
        await self._connector.close()


def _end_if_cancelled() -> None:
    """A library that awaits by `asyncio.wait_for` loses a cancellation on Python 3.11 if its answer comes just then."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
