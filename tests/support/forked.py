"""A piece of the test as a process of its own, which may be killed at any moment."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from pathlib import Path

END_SECONDS_MAX = 60.0


class Forked:
    """Runs `act` in a process of its own, with everything imported already; what goes wrong in it is in `log`."""

    def __init__(self, act: Callable[[], None], log: Path) -> None:
        self._act = act
        self._log = log
        self._process = multiprocessing.get_context("fork").Process(target=self._run, daemon=True)
        self._process.start()

    @property
    def said(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @property
    def was_killed(self) -> bool:
        """Waits for its end."""
        return self.end() == -9

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def end(self) -> int | None:
        """Waits for its end; the exit code, or None when it does not come."""
        self._process.join(END_SECONDS_MAX)
        return self._process.exitcode

    def _run(self) -> None:
        try:
            self._act()
        except BaseException:
            with self._log.open("a") as log:
                traceback.print_exc(file=log)
            os._exit(1)
        os._exit(0)
