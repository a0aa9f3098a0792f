"""A figure: what was measured, and what it is measured against in the same run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` and `baseline` count in `unit`; `against` says what the baseline is."""

    name: str
    value: float
    unit: str
    baseline: float
    against: str

    @property
    def ratio(self) -> float:
        return self.value / self.baseline


def as_json(figures: Iterable[Figure]) -> str:
    """One object: figure name → value, unit, baseline, ratio."""
    return json.dumps(
        {
            figure.name: {
                "value": figure.value,
                "unit": figure.unit,
                "baseline": figure.baseline,
                "ratio": figure.ratio,
            }
            for figure in figures
        },
        indent=2,
    )


def as_table(figures: Sequence[Figure]) -> str:
    """The same to read, with what each baseline is."""
    rows = [("figure", "value", "unit", "baseline", "ratio", "measured against")]
    rows += [
        (figure.name, _shown(figure.value), figure.unit, _shown(figure.baseline), f"{figure.ratio:.3f}", figure.against)
        for figure in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    name, value, unit, baseline, ratio, against = row
    numbers = f"{value:>{widths[1]}}  {unit:<{widths[2]}}  {baseline:>{widths[3]}}  {ratio:>{widths[4]}}"
    return f"{name:<{widths[0]}}  {numbers}  {against}".rstrip()


def _shown(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:.3g}"
