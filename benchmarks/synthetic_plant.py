"""A plant of many counters, written as a plant's file and loaded as the product loads it; and what its machines say."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from config.plant import Plant, load_plant
from core.clock import SECOND, Instant
from core.sample import Quality, Sample, tag_id

PAYERS = 10
"""Accounts that pay for everything: as in a factory, a few are busy."""

START = Instant(1_780_000_000_000_000)
STEP_MICROSECONDS = SECOND // 10
STEP_METRES = Decimal("0.25")

CHARGES = ("12 * {tag} if 6 <= hour < 22 else 10 * {tag}", "185 * {tag}")
"""By time of day or not, half of the machines each."""


def synthetic_plant(folder: Path, machines: int, counters: int) -> Plant:
    """So many machines with so many counters each; every counter is paid for by an agreement of its own."""
    lines = [
        "plant: {name: Synthetic, timezone: Europe/Stockholm, currency: SEK}",
        "parties: {plant: {name: Plant AB}, workshop: {name: Workshop AB}}",
        "accounts:",
        *(f"  payer-{n}: {{owner: plant, name: Payer {n}, floor: -1000000000 kr}}" for n in range(PAYERS)),
        *(f"  machine-{n}: {{owner: workshop, name: Machine {n}, machine: machine-{n}}}" for n in range(machines)),
        "machines:",
    ]
    for n in range(machines):
        lines += [f"  machine-{n}:", f"    name: Machine {n}", "    modbus: {host: 127.0.0.1}", "    tags:"]
        lines += [
            f'      way_{each}: {{address: "input:{30001 + 2 * each}", type: uint32, scale: 0.01, unit: m, '
            "counter: {max_rate: 3 m/s}}"
            for each in range(counters)
        ]
    lines += ["tariffs:"]
    for each in range(counters):
        lines += [
            f"  tariff-{kind}-{each}: {{charge: '{charge.format(tag=f'way_{each}')}', per: m}}"
            for kind, charge in enumerate(CHARGES)
        ]
    lines += ["agreements:"]
    for n in range(machines):
        lines += [
            f"  work-{n}-{each}: {{from: payer-{n % PAYERS}, to: machine-{n}, meter: machine-{n}.way_{each}, "
            f"tariff: tariff-{n % len(CHARGES)}-{each}}}"
            for each in range(counters)
        ]
    path = folder / "plant.yaml"
    path.write_text("\n".join(lines) + "\n")
    return load_plant(path)


class Floor:
    """What happens on that plant's floor: of each machine's counters one moves in every step, in turn."""

    def __init__(self, machines: int, counters: int) -> None:
        self._tags = [[tag_id(f"machine-{n}", f"way_{each}") for each in range(counters)] for n in range(machines)]
        self._ways = [[Decimal(0)] * counters for _ in range(machines)]
        self._counters = counters
        self._steps = 0

    def step(self, first: int = 0, last: int | None = None) -> list[Sample]:
        """A reading of all counters of these machines, of all when none are named, 100 ms after the last step's."""
        self._steps += 1
        at = Instant(START + self._steps * STEP_MICROSECONDS)
        moving = self._steps % self._counters
        samples = []
        for tags, ways in zip(self._tags[first:last], self._ways[first:last], strict=True):
            ways[moving] += STEP_METRES
            samples += [Sample(tag, way, Quality.GOOD, at, at) for tag, way in zip(tags, ways, strict=True)]
        return samples
