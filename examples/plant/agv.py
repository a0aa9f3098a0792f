"""The AGV: it fetches a pallet in the warehouse, drives it to the facade, and drives back for the next."""

from dataclasses import dataclass
from enum import Enum
from math import sqrt

LEG_M = 12.0
TURN_FROM_M, TURN_TO_M = 5.0, 6.5
CRUISE_M_PER_S = 1.6
TURN_M_PER_S = 0.6
FIRST_DRIVEN_M = 10.5  # a fresh start finds it on its way back, soon to load
CREEP_M_PER_S = 0.05
ACCELERATION_M_PER_S2 = 0.6
HANDLING_S = 4.0
DRAIN_PERCENT_PER_S = 0.03
CHARGE_PERCENT_PER_S = 1.0
CHARGE_BELOW_PERCENT, CHARGE_TO_PERCENT = 25.0, 60.0


class Phase(Enum):
    """Where the AGV is in its round."""

    LOADING = "loading"
    TO_FACADE = "to facade"
    UNLOADING = "unloading"
    TO_WAREHOUSE = "to warehouse"


@dataclass(frozen=True, slots=True)
class AgvStep:
    """What one step did: the distance in metres, and whether a pallet was just taken or just left."""

    distance_m: float = 0.0
    loaded: bool = False
    unloaded: bool = False


class Agv:
    """Speed in m/s, battery in per cent."""

    def __init__(self) -> None:
        self.speed = 0.0
        self.battery = 78.0
        self.phase = Phase.TO_WAREHOUSE
        self._handling_left_s = 0.0
        self._driven_m = FIRST_DRIVEN_M
        self._charging = False

    def step(self, dt: float, pallet_waits: bool) -> AgvStep:
        """Advance `dt` seconds (at most about 0.1). It leaves the warehouse only with a pallet that somebody awaits."""
        if self.phase is Phase.LOADING:
            self._charge(dt)
            if self._charging or not pallet_waits or not self._handled(dt):
                return AgvStep()
            self.phase = Phase.TO_FACADE
            return AgvStep(loaded=True)
        if self.phase is Phase.UNLOADING:
            if not self._handled(dt):
                return AgvStep()
            self.phase = Phase.TO_WAREHOUSE
            return AgvStep(unloaded=True)
        return AgvStep(distance_m=self._drive(dt))

    def _handled(self, dt: float) -> bool:
        self._handling_left_s -= dt
        return self._handling_left_s <= 0

    def _charge(self, dt: float) -> None:
        if self.battery < CHARGE_BELOW_PERCENT:
            self._charging = True
        if self._charging:
            self.battery += CHARGE_PERCENT_PER_S * dt
            self._charging = self.battery < CHARGE_TO_PERCENT

    def _drive(self, dt: float) -> float:
        self.speed = min(self.speed + ACCELERATION_M_PER_S2 * dt, speed_limit(self._driven_m))
        distance = min(self.speed * dt, LEG_M - self._driven_m)
        self.battery -= DRAIN_PERCENT_PER_S * dt
        self._driven_m += distance
        if self._driven_m >= LEG_M:
            self.speed = 0.0
            self._driven_m = 0.0
            self._handling_left_s = HANDLING_S
            self.phase = Phase.UNLOADING if self.phase is Phase.TO_FACADE else Phase.LOADING
        return distance


def speed_limit(driven_m: float) -> float:
    """The fastest allowed speed in m/s here, such that the turn and the stop ahead can still be braked for."""
    stop = sqrt(2 * ACCELERATION_M_PER_S2 * max(LEG_M - driven_m, 0.0))
    limit = min(CRUISE_M_PER_S, max(stop, CREEP_M_PER_S))
    if driven_m < TURN_FROM_M:
        return min(limit, sqrt(TURN_M_PER_S**2 + 2 * ACCELERATION_M_PER_S2 * (TURN_FROM_M - driven_m)))
    return min(limit, TURN_M_PER_S) if driven_m < TURN_TO_M else limit
