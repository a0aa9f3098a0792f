"""What can go wrong, sorted by who must act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MyntverkError(Exception):
    """Root of every error a caller may handle. `InvariantBroken` is deliberately not below it."""


class Rejected(MyntverkError):
    """A rule said no; the caller acts. `code` is stable and documented, `text` is for a person."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class Unavailable(MyntverkError):
    """The outside (a device, a database, a provider) is down; we retry with the same id."""


class OutcomeUnknown(MyntverkError):
    """A payment was sent and no answer came: ask about it, never resend it under a new id."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration: where it stands, what was expected, what came."""

    message: str
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: " if self.file else ""
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


class Misconfigured(MyntverkError):
    """The operator must change a file; carries every problem at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class InvariantBroken(Exception):
    """Our own bug. Stop settling, keep reading. Outside `MyntverkError` so that no handler hides it."""
