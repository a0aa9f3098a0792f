"""The factory line as pure arithmetic: material flows in, parts flow out, every machine counts its work."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from examples.plant.agv import Agv
from examples.plant.robot_cell import RobotCell

TICK_S = 0.05
PALLET_ITEMS = 48
FACADE_ROOM_ITEMS = 120
REORDER_BELOW_ITEMS = 144
DELIVERY_ITEMS = (24, PALLET_ITEMS)
DELIVERY_LEAD_S = (12.0, 25.0)
ORDER_INTERVAL_S = (6.0, 20.0)
FIRST_DELIVERY_S, FIRST_ORDER_S = 7.0, 6.5  # time enough to connect and see the very first
UINT32 = 2**32

COUNTERS = ("odometer", "parts", "energy", "picked", "pallets_in", "pallets_out", "items_in", "orders")


@dataclass(slots=True)
class Signals:
    """What the sensors show, in the integers that the PLCs send. Counters are 32 bits wide and wrap."""

    odometer: int = 0  # cm
    parts: int = 0
    energy: int = 0  # Wh
    picked: int = 0
    pallets_in: int = 0
    pallets_out: int = 0
    items_in: int = 0
    orders: int = 0
    speed: int = 0  # mm/s
    battery: int = 0  # 0.1 %
    moving: bool = False
    temperature: float = 0.0  # °C
    pressure: int = 0  # 0.1 kPa
    rpm: int = 0
    running: bool = False


class Line:
    """The same seed and the same total time give the same signals, however the time is cut into steps."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        self.signals = Signals()
        self.agv = Agv()
        self.robot_cell = RobotCell(Random(random.random()))
        self._random = random
        self._facade_items = PALLET_ITEMS
        self._warehouse_items = 2 * PALLET_ITEMS
        self._delivery_in_s = FIRST_DELIVERY_S
        self._order_in_s = FIRST_ORDER_S
        self._odometer_cm = 0.0  # what has not yet become a whole count
        self._energy_wh = 0.0
        self._ticks = 0
        self._elapsed_s = 0.0
        self._show_gauges()

    def step(self, dt_seconds: float) -> None:
        """Let the line work for `dt_seconds`."""
        self._elapsed_s += dt_seconds
        while (self._ticks + 0.5) * TICK_S < self._elapsed_s:
            self._ticks += 1
            self._tick()
        self._show_gauges()

    def counters(self) -> dict[str, int]:
        """Every counter by name: what a PLC retains."""
        return {name: getattr(self.signals, name) for name in COUNTERS}

    def restore(self, counters: Mapping[str, int]) -> None:
        """Continue from retained counters; those not named stay."""
        for name, value in counters.items():
            if name not in COUNTERS:
                raise ValueError(f"expected a counter ({', '.join(COUNTERS)}), got {name!r}")
            setattr(self.signals, name, value % UINT32)

    def _tick(self) -> None:
        self._take_orders()
        self._receive_deliveries()
        self._transport()
        self._produce()

    def _take_orders(self) -> None:
        self._order_in_s -= TICK_S
        if self._order_in_s <= 0:
            self._count("orders", 1)
            self._order_in_s = self._random.uniform(*ORDER_INTERVAL_S)

    def _receive_deliveries(self) -> None:
        """A delivery is under way whenever the stock is low; it arrives as one pallet."""
        if self._warehouse_items >= REORDER_BELOW_ITEMS:
            return
        self._delivery_in_s -= TICK_S
        if self._delivery_in_s <= 0:
            items = self._random.randint(*DELIVERY_ITEMS)
            self._warehouse_items += items
            self._count("items_in", items)
            self._count("pallets_in", 1)
            self._delivery_in_s = self._random.uniform(*DELIVERY_LEAD_S)

    def _transport(self) -> None:
        in_stock = self._warehouse_items >= PALLET_ITEMS
        wanted = self._facade_items + PALLET_ITEMS <= FACADE_ROOM_ITEMS
        step = self.agv.step(TICK_S, pallet_waits=in_stock and wanted)
        if step.loaded:
            self._warehouse_items -= PALLET_ITEMS
            self._count("pallets_out", 1)
        if step.unloaded:
            self._facade_items += PALLET_ITEMS
        self._odometer_cm += step.distance_m * 100
        whole_cm = int(self._odometer_cm)
        self._odometer_cm -= whole_cm
        self._count("odometer", whole_cm)

    def _produce(self) -> None:
        step = self.robot_cell.step(TICK_S, self._facade_items)
        self._facade_items -= step.picked
        self._count("picked", step.picked)
        self._count("parts", step.parts)
        self._energy_wh += step.energy_wh
        whole_wh = int(self._energy_wh)
        self._energy_wh -= whole_wh
        self._count("energy", whole_wh)

    def _count(self, name: str, more: int) -> None:
        setattr(self.signals, name, (getattr(self.signals, name) + more) % UINT32)

    def _show_gauges(self) -> None:
        signals, agv, cell = self.signals, self.agv, self.robot_cell
        signals.speed = round(agv.speed * 1000)
        signals.battery = round(agv.battery * 10)
        signals.moving = agv.speed > 0
        signals.temperature = round(cell.temperature, 2)
        signals.pressure = round(cell.pressure * 10)
        signals.rpm = round(cell.rpm)
        signals.running = cell.running
