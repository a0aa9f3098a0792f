"""The whole plant before a client of another make: a PLC counts, and node-opcua sees the money move and pays."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import start_node
from tests.support.plant import PASSWORD, WITHOUT_WEAR, Factory, eventually

SEEN_SECONDS_MAX = 10.0


async def told(process: Process, key: str) -> dict[str, Any]:
    """The next line that speaks of this."""
    assert process.stdout is not None
    async with asyncio.timeout(SEEN_SECONDS_MAX):
        while line := await process.stdout.readline():
            said: dict[str, Any] = json.loads(line)
            if key in said:
                return said
    raise AssertionError(f"node-opcua ended without a word of {key}")


async def test_node_opcua_sees_a_plc_move_money_and_pays_exactly_once(
    tmp_path: Path, node_client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "ANNA_PASSWORD", PASSWORD)
    factory = Factory(tmp_path, WITHOUT_WEAR)
    try:
        running = factory.start()
        eventually(lambda: running.endpoint and len(factory.meters()) == 9, 30, "the first reading of every meter")
        process = await start_node(node_client, running.endpoint, "plant")
        assert process.stdin is not None

        seen = await told(process, "accounts")
        assert {"customer", "line", "agv-7", "energy"} <= set(seen["accounts"])
        assert seen["anonymousPay"]["status"] == "BadUserAccessDenied"
        before = (await told(process, "customer"))["customer"]
        parts = factory.counters()["parts"]
        assert factory.plcs["modbus"].ask(f"set parts {parts + 2}") == "ok"
        assert (await told(process, "customer"))["customer"] == before - 2 * 185

        process.stdin.write(b"pay\n")
        paid = await told(process, "first")
        assert (paid["first"]["status"], paid["first"]["code"]) == ("Good", 0)
        assert (paid["again"]["code"], paid["again"]["transfer"]) == (1, paid["first"]["transfer"])
        assert (paid["other"]["code"], paid["other"]["transfer"]) == (-3, "")
        with factory.rows("SELECT amount FROM transfer WHERE source = 'user:anna'") as rows:
            assert rows == [(1250 * 10**6,)]
        async with asyncio.timeout(SEEN_SECONDS_MAX):
            await process.wait()
        assert running.end() == 0
    finally:
        factory.close()
