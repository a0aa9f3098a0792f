"""The PLC of the AGV (unit 1) and the robot cell (unit 2), by Modbus TCP."""

import struct
from collections.abc import Callable
from random import Random

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from examples.plant.line import Signals
from examples.plant.plc import HOST, Plc, main

COUNTERS = ("odometer", "parts", "energy")
GAUGES = ("speed", "battery", "moving", "temperature", "pressure", "rpm", "running")
READ_DISCRETE_INPUTS = 2


def agv_words(signals: Signals) -> tuple[int, ...]:
    """30001 odometer (uint32, cm), 30003 speed (mm/s), 30004 battery (0.1 %)."""
    return _words(struct.pack(">IHH", signals.odometer, signals.speed, signals.battery))


def robot_cell_words(signals: Signals) -> tuple[int, ...]:
    """30001 parts, 30003 energy (uint32, Wh), 30005 temperature (float32 CDAB, °C), 30007 0.1 kPa, 30008 rpm."""
    high, low = _words(struct.pack(">f", signals.temperature))
    parts_and_energy = _words(struct.pack(">II", signals.parts, signals.energy))
    return (*parts_and_energy, low, high, signals.pressure, signals.rpm)


def _words(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // 2}H", data)


class ModbusFace:
    """Input registers and one discrete input per machine; nothing can be written."""

    def __init__(self, plc: Plc) -> None:
        self._plc = plc
        self._random = Random(0)
        self._server: ModbusTcpServer | None = None

    async def open(self, port: int) -> None:
        """Accept connections. Raises OSError if the port is taken."""
        units = [
            self._unit(1, agv_words, lambda signals: signals.moving),
            self._unit(2, robot_cell_words, lambda signals: signals.running),
        ]
        self._server = ModbusTcpServer(units, address=(HOST, port), trace_packet=self._unless_muted)
        try:
            await self._server.serve_forever(background=True)
        except RuntimeError as problem:
            raise OSError(str(problem)) from None

    async def publish(self) -> None:
        """Nothing to do: each request is answered from the signals of that moment."""

    async def close(self) -> None:
        """Drop all connections."""
        if self._server:
            await self._server.shutdown()  # type: ignore[no-untyped-call]

    def _unit(
        self, unit: int, words: Callable[[Signals], tuple[int, ...]], bit: Callable[[Signals], bool]
    ) -> SimDevice:
        async def answer(
            function: int, start: int, address: int, count: int, registers: list[int], written: object
        ) -> ExcCodes | None:
            # One image per request, so that the two words of a 32-bit value always belong together.
            if function == READ_DISCRETE_INPUTS:
                registers[0] = int(bit(self._plc.signals))
            else:
                image = words(self._plc.signals)
                registers[: len(image)] = [self._random.getrandbits(16) for _ in image] if self._plc.garbage else image
            return None

        width = len(words(Signals()))
        absent = SimData(0, datatype=DataType.INVALID)
        no_bits, one_bit = (SimData(0, values=[False], datatype=DataType.BITS, readonly=True) for _ in range(2))
        inputs = SimData(0, values=[0] * width, datatype=DataType.REGISTERS, readonly=True)
        return SimDevice(unit, simdata=([no_bits], [one_bit], [absent], [inputs]), action=answer)

    def _unless_muted(self, sending: bool, packet: bytes) -> bytes:
        return b"" if sending and self._plc.mute else packet


if __name__ == "__main__":
    main("modbus", 15020, COUNTERS, GAUGES, ModbusFace)
