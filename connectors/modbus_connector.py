"""Reads a Modbus TCP device. The only importer of pymodbus."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException

from connectors.connector import Reading, bad
from connectors.modbus_address import Area
from connectors.modbus_registers import Block, RegisterTag, plan
from connectors.modbus_reply import Answer, Exceptional, Malformed, Question, Reply, find_reply
from connectors.settings import ModbusSettings
from core.errors import Unavailable

TOO_MUCH_ASKED = (2, 3)
"""Exceptions by which a device refuses an address in the block, or its length."""


class ModbusConnector:
    """One device over one TCP connection, read block by block.

    pymodbus carries the frames; what they mean is decided here, on the bytes themselves, because pymodbus takes
    an answer one register short, or to another function, for a good one.
    """

    def __init__(self, machine: str, settings: ModbusSettings, tags: Sequence[RegisterTag]) -> None:
        self._where = f"{machine} at {settings.host}:{settings.port} unit {settings.unit}"
        self._settings = settings
        self._timeout_seconds = settings.timeout.total_seconds()
        self._tags = tuple(tags)
        self._blocks = self._plan()
        self._client: AsyncModbusTcpClient | None = None
        self._asked: Block | None = None
        self._question: Question | None = None
        self._reply: Reply | None = None

    @property
    def every_seconds(self) -> float:
        return self._settings.every.total_seconds()

    @property
    def blocks(self) -> Sequence[Block]:
        """The requests of one read."""
        return tuple(self._blocks)

    async def connect(self) -> None:
        await self.close()
        self._blocks = self._plan()
        client = AsyncModbusTcpClient(
            self._settings.host,
            port=self._settings.port,
            timeout=2 * self._timeout_seconds,  # never reached: ours comes first
            retries=0,
            reconnect_delay=0,
            trace_packet=self._see_packet,
            trace_connect=self._see_connection,
        )
        self._client = client
        try:
            async with asyncio.timeout(self._timeout_seconds):
                # client.connect() does the same but turns every cause into False.
                await client.ctx.call_create()
        except TimeoutError:
            await self.close()
            raise Unavailable(f"{self._where}: no connection within {self._timeout_seconds:g} s") from None
        except OSError as error:
            await self.close()
            raise Unavailable(f"{self._where}: no connection: {error}") from error

    async def read(self) -> list[Reading]:
        readings: list[Reading] = []
        waiting = self._blocks[::-1]
        while waiting:
            block = waiting.pop()
            reply = await self._ask(block)
            if isinstance(reply, Answer):
                readings += block.decode(reply.data)
            elif reply.code in TOO_MUCH_ASKED and len(block.tags) > 1:
                # One address too many must not blind its neighbours: halve until it stands alone, and remember
                # for as long as this connection lasts.
                halves = block.halves()
                at = self._blocks.index(block)
                self._blocks[at : at + 1] = halves
                waiting += halves[::-1]
            else:
                reason = f"the device answered {reply} to {block}"
                readings += [bad(tag.tag, reason) for tag in block.tags]
        return readings

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close()

    def _plan(self) -> list[Block]:
        return plan(self._tags, self._settings.max_gap, self._settings.max_registers)

    async def _ask(self, block: Block) -> Answer | Exceptional:
        client = self._client
        if client is None or not client.connected:
            raise Unavailable(f"{self._where}: the connection is closed")
        ask = {
            Area.COIL: client.read_coils,
            Area.DISCRETE: client.read_discrete_inputs,
            Area.HOLDING: client.read_holding_registers,
            Area.INPUT: client.read_input_registers,
        }[block.area]
        self._asked, self._reply = block, None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await ask(block.start, count=block.count, device_id=self._settings.unit)
        except TimeoutError:
            await self.close()
            text = f"no answer to {block} within {self._timeout_seconds:g} s"
            raise Unavailable(f"{self._where}: {text}") from None
        except (ModbusException, OSError) as error:
            await self.close()
            cause = self._reply.text if isinstance(self._reply, Malformed) else str(error)
            raise Unavailable(f"{self._where}: asked for {block}: {cause}") from None
        finally:
            self._asked, self._question = None, None
        if not isinstance(self._reply, Answer | Exceptional):
            await self.close()
            raise Unavailable(f"{self._where}: asked for {block}: no answer to it in what came")
        return self._reply

    def _see_packet(self, sending: bool, packet: bytes) -> bytes:
        """Called by pymodbus with each packet out, and all that came in since; it goes on with what this returns."""
        if sending:
            if self._asked is not None:
                transaction = int.from_bytes(packet[:2], "big")
                code, size = self._asked.area.function_code, self._asked.byte_count
                self._question = Question(transaction, self._settings.unit, code, size)
            return packet
        if self._question is None or self._client is None or self._client.ctx.response_future.done():
            return b""  # nobody waits for it any more
        self._reply = find_reply(packet, self._question)
        if isinstance(self._reply, Malformed):
            self._fail("malformed answer")
            packet = b""
        if self._reply is not None:
            self._question = None  # whatever else arrives was not asked for
        return packet

    def _see_connection(self, connected: bool) -> None:
        if not connected:
            self._fail("the device closed the connection")

    def _fail(self, text: str) -> None:
        """End the request in flight now; pymodbus would wait for its timeout."""
        if self._client is not None and self._question is not None:
            future = self._client.ctx.response_future
            if not future.done():
                future.set_exception(ConnectionException(text))
