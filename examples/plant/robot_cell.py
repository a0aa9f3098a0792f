"""The robot cell: it picks material from the facade, makes a part of it, and wears and heats as it works."""

from dataclasses import dataclass
from math import pi, sin
from random import Random

CYCLE_S = (2.1, 2.9)
PICKS, DROPPED_ITEM_CHANCE = 4, 0.05
PICKING_SHARE = 0.8  # the last fifth of the cycle only assembles
STOP_CHANCE, STOP_S = 0.05, (3.0, 9.0)
RPM_MEAN, RPM_SWING, RPM_MAX, RPM_PER_S = 2100.0, 800.0, 3000.0, 4000.0
IDLE_KW, WORKING_KW, SPINDLE_KW = 9.0, 20.0, 40.0
COOLEST_C, HEATING_C, HEAT_LAG_S = 35.0, 40.0, 25.0
PRESSURE_KPA, PRESSURE_DIP_KPA = 620.0, 25.0


@dataclass(frozen=True, slots=True)
class CellStep:
    """What one step did: energy in watt-hours, items picked (0 or 1), parts made (0 or 1)."""

    energy_wh: float
    picked: int = 0
    parts: int = 0


class RobotCell:
    """Spindle in rpm, temperature in °C, compressed air in kPa; `running` is false when stopped or out of material."""

    def __init__(self, random: Random) -> None:
        self.rpm = 0.0
        self.temperature = 42.0
        self.pressure = PRESSURE_KPA
        self.running = True
        self._random = random
        self._stop_left_s = 0.0
        self._begin_cycle()

    def step(self, dt: float, material: int) -> CellStep:
        """Advance `dt` seconds (at most about 0.1) with `material` items within reach."""
        self._stop_left_s = max(0.0, self._stop_left_s - dt)
        wants_item = self._picked < self._picks and self._progress >= self._next_pick_at()
        self.running = self._stop_left_s == 0 and not (wants_item and material == 0)
        picked = parts = 0
        if self.running:
            if wants_item:
                self._picked += 1
                picked = 1
            self._progress += dt / self._cycle_s
            if self._progress >= 1 and self._picked == self._picks:
                parts = 1
                self._begin_cycle()
                if self._random.random() < STOP_CHANCE:
                    self._stop_left_s = self._random.uniform(*STOP_S)
        return CellStep(energy_wh=self._work(dt) * 1000 * dt / 3600, picked=picked, parts=parts)

    def _begin_cycle(self) -> None:
        self._progress = 0.0
        self._picked = 0
        self._picks = PICKS + (self._random.random() < DROPPED_ITEM_CHANCE)
        self._cycle_s = self._random.uniform(*CYCLE_S)

    def _next_pick_at(self) -> float:
        return PICKING_SHARE * (self._picked + 0.5) / self._picks

    def _work(self, dt: float) -> float:
        """Move spindle, temperature and pressure along; the electric power in kW."""
        target = RPM_MEAN + RPM_SWING * sin(2 * pi * self._progress) if self.running else 0.0
        reach = RPM_PER_S * dt
        self.rpm = min(RPM_MAX, self.rpm + max(-reach, min(reach, target - self.rpm)))
        load = (self.rpm / RPM_MAX) ** 1.5
        self.temperature += (COOLEST_C + HEATING_C * load - self.temperature) * dt / HEAT_LAG_S
        self.pressure = PRESSURE_KPA - PRESSURE_DIP_KPA * load + self._random.uniform(-2, 2)
        return WORKING_KW + SPINDLE_KW * load if self.running else IDLE_KW
