"""Posts as fast as it can, in a process that is to be killed, and writes down what it was acknowledged."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from core.clock import SystemClock
from ledger.database import open_engine
from ledger.hold import AlreadyPlaced, Placed, Released
from ledger.transfer import AlreadyPosted, Posted
from ledger.writer import Writer
from migrations import upgrade
from tests.support.load import Load

IN_FLIGHT = 6
ASKED_AGAIN = 4
ANSWER_SECONDS_MAX = 30.0


def acknowledged(path: Path) -> int:
    """How many pieces the file tells of; a last line that was cut off is none."""
    return path.read_text().count("\n") if path.exists() else 0


def post(url: str, load: Load, path: Path, until: int | None = None) -> None:
    """Begin a little before the last piece that the file tells of: those must answer that they were posted already.
    End after `until` pieces, or never."""
    engine = open_engine(url)
    upgrade(engine)
    writer = Writer(engine, load.book, SystemClock())
    writer.start()
    writer.submit(load.accounts).result(ANSWER_SECONDS_MAX)
    done = acknowledged(path)
    n = max(0, done - ASKED_AGAIN)
    waiting: deque[tuple[int, Future[list[Any]]]] = deque()
    with path.open("r+" if path.exists() else "w") as file:
        file.seek(len(f"{0:08}\n") * done)
        while until is None or n < until or waiting:
            while len(waiting) < IN_FLIGHT and (until is None or n < until):
                waiting.append((n, writer.submit(load.work(n))))
                n += 1
            number, answer = waiting.popleft()
            outcomes = answer.result(ANSWER_SECONDS_MAX)
            assert all(isinstance(each, (Posted, AlreadyPosted, Placed, AlreadyPlaced, Released)) for each in outcomes)
            if number < done:
                assert not any(isinstance(each, (Posted, Placed)) for each in outcomes), f"piece {number} was lost"
            else:
                file.write(f"{number:08}\n")
                file.flush()
                os.fsync(file.fileno())
    writer.stop()
