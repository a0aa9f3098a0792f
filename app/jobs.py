"""What happens by the clock rather than by an event; the only importer of apscheduler."""

from __future__ import annotations

import asyncio
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from app.pipeline import Pipeline
from ledger.desk import Desk
from ledger.operations import Reader

RETRY_SECONDS = 5
EXPIRY_SECONDS = 1
VERIFY_HOUR = 3

log = structlog.get_logger()


class Jobs:
    """The plant's standing jobs. One run of a job at a time, none piles up."""

    def __init__(self, pipeline: Pipeline, desk: Desk, reader: Reader, zone: ZoneInfo) -> None:
        self._scheduler = AsyncIOScheduler(timezone=zone, job_defaults={"coalesce": True, "max_instances": 1})
        add = self._scheduler.add_job
        add(pipeline.settle_what_waits, IntervalTrigger(seconds=RETRY_SECONDS), id="settle-what-waits")
        add(desk.expire_holds, IntervalTrigger(seconds=EXPIRY_SECONDS), id="expire-holds")
        add(verify_journal, CronTrigger(hour=VERIFY_HOUR), args=[reader], id="verify-journal")

    def start(self) -> None:
        """Begin, in the loop that is running."""
        self._scheduler.start()

    def stop(self) -> None:
        self._scheduler.shutdown(wait=False)


async def verify_journal(reader: Reader) -> None:
    """Recompute the book from its first row, beside the running plant."""
    verification = await asyncio.to_thread(reader.verify)
    if verification.verified:
        head = f"{verification.head_hash.hex()}@{verification.batches}"
        log.info("the journal verifies", transfers=verification.transfers, head=head)
    else:
        log.critical("the journal does not verify", faults=verification.faults)
