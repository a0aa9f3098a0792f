"""Real devices on loopback: one that behaves as told, and a place that collects samples."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from core.sample import Sample

Behaviour = Callable[["Device", bytes], Awaitable[None]]


def answer(request: bytes, registers: list[int]) -> bytes:
    """The right answer to a request for registers, whose first is `registers[0]` at offset 0."""
    start, count = int.from_bytes(request[8:10], "big"), int.from_bytes(request[10:12], "big")
    data = b"".join(word.to_bytes(2, "big") for word in registers[start : start + count])
    return frame(request, bytes([request[7], len(data)]) + data)


def frame(request: bytes, body: bytes) -> bytes:
    return request[:4] + (len(body) + 1).to_bytes(2, "big") + request[6:7] + body


class Device:
    """A Modbus TCP device that answers each request as `behave` says."""

    def __init__(self) -> None:
        self.registers = [0] * 200
        self.requests: list[bytes] = []
        self.connections = 0
        self.behave: Behaviour = behave_well
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the door and every connection, as a power cut does."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def send(self, data: bytes) -> None:
        for writer in self._writers:
            writer.write(data)

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                header = await reader.readexactly(6)
                request = header + await reader.readexactly(int.from_bytes(header[4:6], "big"))
                self.requests.append(request)
                await self.behave(self, request)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


async def behave_well(device: Device, request: bytes) -> None:
    await device.send(answer(request, device.registers))


class Collected(list[Sample]):
    """Samples as they were delivered; wait for them with `until`."""

    async def deliver(self, samples: list[Sample]) -> None:
        self += samples


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for a condition; fails when it does not come true in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - any condition, not one event
            await asyncio.sleep(0.005)
