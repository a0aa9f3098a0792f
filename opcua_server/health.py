"""Does the server answer, and does it show its ledger? Asked as any client would ask."""

from __future__ import annotations

import asyncio

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.uaerrors import BadIdentityTokenRejected, UaError

from core.errors import Unavailable
from opcua_server.address_space import NAMESPACE_URI, ledger_node_id


async def ask_sequence(endpoint: str, timeout_seconds: float) -> int | None:
    """The batch that the ledger stands at, None when a stranger may not see it; Unavailable when the server does not
    answer in time, or shows that settling has stopped."""
    try:
        async with asyncio.timeout(timeout_seconds), Client(endpoint, timeout=timeout_seconds) as client:
            index = await client.get_namespace_index(NAMESPACE_URI)
            sequence, settling = [
                client.get_node(ua.NodeId(ua.String(ledger_node_id(name)), ua.Int16(index)))
                for name in ("Sequence", "Settling")
            ]
            if not await settling.read_value():
                raise Unavailable(f"{endpoint} has stopped settling: its log says why; restart it after the repair")
            return int(await sequence.read_value())
    except BadIdentityTokenRejected:  # `anonymous: no`: it is there and keeps strangers out
        return None
    except (OSError, TimeoutError, UaError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise Unavailable(f"{endpoint} does not answer as a Myntverk server: {reason}") from error
