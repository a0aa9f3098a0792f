"""What happens by the clock rather than by an event; the only importer of apscheduler."""

from __future__ import annotations

import asyncio
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from app.pipeline import Pipeline
from ledger.operations import Reader

RETRY_SECONDS = 5
VERIFY_HOUR = 3

log = structlog.get_logger()


def schedule(pipeline: Pipeline, reader: Reader, zone: ZoneInfo) -> AsyncIOScheduler:
    """The plant's standing jobs; started by the caller, in its loop. One run of a job at a time, none piles up."""
    scheduler = AsyncIOScheduler(timezone=zone, job_defaults={"coalesce": True, "max_instances": 1})
    scheduler.add_job(pipeline.settle_what_waits, IntervalTrigger(seconds=RETRY_SECONDS), id="settle-what-waits")
    scheduler.add_job(verify_journal, CronTrigger(hour=VERIFY_HOUR), args=[reader], id="verify-journal")
    return scheduler


async def verify_journal(reader: Reader) -> None:
    """Recompute the book from its first row, beside the running plant."""
    verification = await asyncio.to_thread(reader.verify)
    if verification.verified:
        log.info("the journal verifies", batches=verification.batches, transfers=verification.transfers)
    else:
        log.critical("the journal does not verify", faults=verification.faults)
