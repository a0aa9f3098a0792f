"""A PLC started as a process of its own, and its console: for the demo, and for tests that need the true counters."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[2]
END_S_MAX = 20.0


class PlcProcess:
    """`kind` is modbus or opcua. Constructing it waits until the PLC can be read; `port` 0 takes a free one.

    Raises RuntimeError if the PLC cannot start; its reason is on stderr.
    """

    def __init__(self, kind: str, retain: Path, *options: str, port: int = 0) -> None:
        command = [sys.executable, "-m", f"examples.plant.{kind}_plc", "--port", str(port), "--retain", str(retain)]
        self.process = subprocess.Popen(
            [*command, "--console", "--with-parent", *options],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C at a terminal goes to whoever started the PLC, not past it
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin, self._stdout = self.process.stdin, self.process.stdout
        self.ready = self._stdout.readline()
        if not self.ready:
            self.close()
            raise RuntimeError(f"the {kind} PLC ended with exit code {self.process.returncode} before it was ready")
        self.port = int(self.ready.rpartition(":")[2])

    def ask(self, command: str) -> str:
        """The answer to a console command with one: `ok`, or `error:` and the reason."""
        self._stdin.write(command + "\n")
        self._stdin.flush()
        return self._stdout.readline().rstrip("\n")

    def counters(self) -> dict[str, int]:
        """The true counters, whatever the PLC shows."""
        counters: dict[str, int] = json.loads(self.ask("counters"))
        assert self._stdout.readline() == "ok\n"
        return counters

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal that ends it; the exit code."""
        self.process.send_signal(by)
        return self.process.wait(END_S_MAX)

    def close(self) -> None:
        """Make sure that it is gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(END_S_MAX)
        self._stdin.close()
        self._stdout.close()


StartPlc: TypeAlias = Callable[..., PlcProcess]
