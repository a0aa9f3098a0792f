"""A SCADA system for tests: an asyncua client that reads nodes by their ids, as an operator's screen would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node

from opcua_server.address_space import NAMESPACE_URI


class Screen:
    """Reads what a client sees."""

    def __init__(self, client: Client, namespace: int) -> None:
        self.client = client
        self._namespace = namespace

    def node(self, id: str) -> Node:
        return self.client.get_node(ua.NodeId(ua.String(id), ua.Int16(self._namespace)))

    async def read(self, id: str) -> object:
        """A value, whatever its status."""
        data = await self.node(id).read_data_value(raise_on_bad_status=False)
        return data.Value.Value if data.Value is not None else None

    async def status(self, id: str) -> str:
        """The name of a value's status, such as `Good`."""
        data = await self.node(id).read_data_value(raise_on_bad_status=False)
        return "Good" if data.StatusCode is None else str(data.StatusCode.name)


@asynccontextmanager
async def screen(endpoint: str, user: str | None = None, password: str | None = None) -> AsyncIterator[Screen]:
    """A session with the server; anonymous without a user."""
    client = Client(endpoint, timeout=10)
    if user is not None and password is not None:
        client.set_user(user)
        client.set_password(password)
    async with client:
        yield Screen(client, await client.get_namespace_index(NAMESPACE_URI))


async def sees(look: Callable[[], Awaitable[object]], expected: object, seconds: float, what: str) -> None:
    """Look until it is as expected; AssertionError when it never is."""
    deadline = time.monotonic() + seconds
    while (seen := await look()) != expected:
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what} {expected!r}, it is {seen!r}"
        await asyncio.sleep(0.02)
