"""A poller ends when it is told to, even when a library below loses the word."""

from __future__ import annotations

import asyncio

from connectors.connector import Reading
from connectors.poller import Poller
from core.clock import SystemClock
from core.sample import Quality, Sample, TagId

TAG = TagId("agv-7.odometer")


class Deaf:
    """As a library that awaits by `asyncio.wait_for` on Python 3.11: a cancellation that meets an answer is lost."""

    every_seconds = 0.001

    async def connect(self) -> None: ...

    async def read(self) -> list[Reading]:
        try:
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            return [Reading(TAG, 1, Quality.GOOD)]
        return [Reading(TAG, 1, Quality.GOOD)]

    async def close(self) -> None: ...


async def test_a_cancellation_that_a_library_lost_still_ends_the_poller() -> None:
    told = asyncio.Event()

    async def deliver(_: list[Sample]) -> None:
        told.set()

    polling = asyncio.create_task(Poller("agv-7", Deaf(), [TAG], deliver, SystemClock()).run())
    await told.wait()
    for _ in range(3):  # to the middle of a read
        await asyncio.sleep(0)
    polling.cancel()
    done, _ = await asyncio.wait([polling], timeout=5)
    assert polling in done
    assert polling.cancelled()
