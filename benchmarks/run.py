"""How long and how much a group measures, and where it may write."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figure import Figure

ROUNDS = 5
"""Short rounds, the product and its baseline in turn: a machine that others use disturbs both, and the median least."""


@dataclass(frozen=True, slots=True)
class Run:
    """`seconds` is the time measured in one round; `size` multiplies the default counts; `folder` is empty."""

    folder: Path
    seconds: float
    size: float

    def sized(self, count: int, least: int = 1) -> int:
        """A default count, scaled."""
        return max(least, round(count * self.size))

    def reduced(self, count: int, least: int = 1) -> int:
        """A default count that a small size makes smaller, and a large one leaves as it is."""
        return max(least, round(count * min(self.size, 1)))


Group = Callable[[Run], list[Figure]]


def say(text: str) -> None:
    """Progress, beside the results."""
    print(text, file=sys.stderr, flush=True)


def percentile(values: list[float], percent: int) -> float:
    """The smallest value that at least `percent` of the values do not exceed (nearest rank)."""
    return sorted(values)[max(-(-len(values) * percent // 100), 1) - 1]
