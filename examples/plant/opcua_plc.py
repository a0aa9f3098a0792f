"""The PLC of the facade, the warehouse and the order desk, by OPC UA."""

import logging
from datetime import UTC
from random import Random

from asyncua import ua
from asyncua.server.server import Server

from examples.plant.line import UINT32
from examples.plant.plc import HOST, Plc, main

NAMESPACE = "urn:plant:logistics"
NODES = {
    "Facade1": {"Picked": "picked"},
    "Warehouse": {"PalletsIn": "pallets_in", "PalletsOut": "pallets_out", "ItemsIn": "items_in"},
    "Orders": {"Received": "orders"},
}
COUNTERS = tuple(name for variables in NODES.values() for name in variables.values())


class OpcuaFace:
    """One object per place, its counters as UInt32 variables; nothing can be written."""

    def __init__(self, plc: Plc) -> None:
        self._plc = plc
        self._random = Random(0)
        self._server: Server | None = None
        self._node_ids: dict[str, ua.NodeId] = {}
        self._shown: dict[str, int] = {}

    async def open(self, port: int) -> None:
        """Accept connections. Raises OSError if the port is taken."""
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what matters is raised
        server = Server()
        await server.init()
        server.set_endpoint(f"opc.tcp://{HOST}:{port}")
        server.set_server_name("Logistics PLC")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        namespace = await server.register_namespace(NAMESPACE)
        for place, variables in NODES.items():
            folder = await server.nodes.objects.add_object(*_names(namespace, place, place))
            for variable, counter in variables.items():
                node_id, name = _names(namespace, f"{place}.{variable}", variable)
                await folder.add_variable(node_id, name, ua.Variant(0, ua.VariantType.UInt32))
                self._node_ids[counter] = node_id
        self._server = server
        await self.publish()
        await server.start()

    async def publish(self) -> None:
        """Write what has changed, with the time of this scan as source time."""
        assert self._server is not None
        at = ua.DateTime.now(UTC)
        for counter, node_id in self._node_ids.items():
            value = self._random.randrange(UINT32) if self._plc.garbage else getattr(self._plc.signals, counter)
            if value != self._shown.get(counter):
                self._shown[counter] = value
                variant = ua.Variant(value, ua.VariantType.UInt32)
                await self._server.write_attribute_value(
                    node_id, ua.DataValue(variant, SourceTimestamp=at, ServerTimestamp=at)
                )

    async def close(self) -> None:
        """Drop all connections."""
        if self._server:
            await self._server.stop()


def _names(namespace: int, identifier: str, name: str) -> tuple[ua.NodeId, ua.QualifiedName]:
    return ua.NodeId.from_string(f"ns={namespace};s={identifier}"), ua.QualifiedName(name, namespace)


if __name__ == "__main__":
    main("opcua", 4841, COUNTERS, (), OpcuaFace)
