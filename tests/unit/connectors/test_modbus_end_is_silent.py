"""An answer that arrives while Myntverk stops is nobody's concern."""

from __future__ import annotations

import asyncio
import logging

import pytest

from connectors.modbus_address import Area
from connectors.modbus_connector import ModbusConnector
from connectors.modbus_registers import RegisterTag, RegisterType
from connectors.settings import ModbusSettings
from core.sample import TagId


async def test_an_answer_to_a_question_that_was_given_up_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    asked = asyncio.Event()
    answer = b""

    async def device(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answer
        request = await reader.readexactly(12)
        answer = request[:4] + b"\x00\x05" + request[6:7] + b"\x04\x02\x00\x07"
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(device, "127.0.0.1", 0)
    settings = ModbusSettings(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    tag = RegisterTag(TagId("agv-7.speed"), Area.INPUT, 0, RegisterType.UINT16)
    connector = ModbusConnector("agv-7", settings, [tag])
    await connector.connect()
    reading = asyncio.create_task(connector.read())
    await asked.wait()
    assert connector._client is not None
    with caplog.at_level(logging.WARNING):
        reading.cancel()  # as at the end of a run …
        await asyncio.sleep(0)
        connector._client.ctx.data_received(answer)  # … and the answer comes while it is given up
        await asyncio.gather(reading, return_exceptions=True)
    await connector.close()
    server.close()
    assert [record.getMessage() for record in caplog.records] == []
