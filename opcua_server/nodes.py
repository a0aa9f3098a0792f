"""Described nodes become asyncua's; plain values become its DataValues."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from core.clock import Instant, to_datetime
from core.errors import InvariantBroken
from core.money import Currency
from core.quantity import Unit
from opcua_server.address_space import (
    NAMESPACE_URI,
    Argument,
    Link,
    MethodNode,
    Node,
    ObjectNode,
    PlainValue,
    ValueType,
    VariableNode,
)

NAMESPACE_INDEX = 2
"""Always the same, since clients store the index where they should store the URI."""

MethodCallback = Callable[..., Awaitable[ua.CallMethodResult]]

VARIANT_TYPES = {
    ValueType.BOOLEAN: ua.VariantType.Boolean,
    ValueType.INT32: ua.VariantType.Int32,
    ValueType.INT64: ua.VariantType.Int64,
    ValueType.UINT64: ua.VariantType.UInt64,
    ValueType.DOUBLE: ua.VariantType.Double,
    ValueType.STRING: ua.VariantType.String,
    ValueType.TIME: ua.VariantType.DateTime,
}
_REFERENCES = {
    Link.ORGANIZES: ObjectIds.Organizes,
    Link.COMPONENT: ObjectIds.HasComponent,
    Link.PROPERTY: ObjectIds.HasProperty,
}
_NO_TIME = datetime(1601, 1, 1, tzinfo=UTC)
"""How OPC UA writes a time that is not there (Part 6, 5.2.2.5)."""

_UNECE_URI = "http://www.opcfoundation.org/UA/units/un/cefact"


def standard_node_id(number: int) -> ua.NodeId:
    """A node of the standard's own, in namespace 0."""
    return ua.NodeId(ua.Int32(number))


def ua_status(code: int) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(code))


_GOOD = ua_status(StatusCodes.Good)
_WAITING = ua_status(StatusCodes.BadWaitingForInitialData)


def ua_node_id(id: str) -> ua.NodeId:
    return ua.NodeId(ua.String(id), ua.Int16(NAMESPACE_INDEX))


def _time(moment: datetime) -> ua.DateTime:
    """asyncua names its own subclass and encodes any aware datetime."""
    return cast(ua.DateTime, moment)


def variant(value: PlainValue, type_: ValueType) -> ua.Variant:
    """The value in its declared type, never a guessed one."""
    if type_ is ValueType.TIME:
        return ua.Variant(_NO_TIME if value is None else to_datetime(Instant(int(value))), ua.VariantType.DateTime)
    return ua.Variant(value, VARIANT_TYPES[type_])


def data_value(
    value: PlainValue, type_: ValueType, source_time: datetime, server_time: datetime, status: ua.StatusCode = _GOOD
) -> ua.DataValue:
    content = ua.Variant() if value is None and type_ is not ValueType.TIME else variant(value, type_)
    return ua.DataValue(content, status, _time(source_time), _time(server_time))


async def add_nodes(server: Server, nodes: Iterable[Node], methods: Mapping[str, MethodCallback]) -> None:
    """Put the nodes into the server's address space; `methods` gives the callback for each method by its name."""
    collecting = gc.isenabled()
    gc.disable()  # the collector walks every node made so far again and again: 2.5 times slower at 10 000 accounts
    try:
        for node in nodes:
            results = await server.iserver.isession.add_nodes(list(_items(node)))
            for result in results:
                if not result.StatusCode.is_good():
                    raise InvariantBroken(f"node {node.id} below {node.parent!r}: {result.StatusCode.name}")
            if isinstance(node, MethodNode):
                server.iserver.isession.add_method_callback(ua_node_id(node.id), methods[node.name])
    finally:
        if collecting:
            gc.enable()


def _items(node: Node) -> Iterator[ua.AddNodesItem]:
    match node:
        case ObjectNode():
            yield _object(node)
        case VariableNode():
            yield _variable(node)
            if node.currency is not None:
                yield _property(node.id, "CurrencyUnit", _currency_unit(node.currency))
            if node.unit is not None and node.unit.symbol:
                yield _property(node.id, "EngineeringUnits", _engineering_unit(node.unit))
        case MethodNode():
            yield _method(node)
            yield _property(node.id, "InputArguments", _arguments(node.inputs))
            yield _property(node.id, "OutputArguments", _arguments(node.outputs))


def _item(id: str, parent: str, name: str, link: Link, node_class: ua.NodeClass, namespace: int) -> ua.AddNodesItem:
    item = ua.AddNodesItem()
    item.RequestedNewNodeId = ua_node_id(id)
    item.ParentNodeId = ua_node_id(parent) if parent else standard_node_id(ObjectIds.ObjectsFolder)
    item.ReferenceTypeId = standard_node_id(_REFERENCES[link])
    item.BrowseName = ua.QualifiedName(name, namespace)
    item.NodeClass = node_class
    return item


def _object(node: ObjectNode) -> ua.AddNodesItem:
    item = _item(node.id, node.parent, node.name, node.link, ua.NodeClass.Object, NAMESPACE_INDEX)
    item.TypeDefinition = standard_node_id(ObjectIds.FolderType if node.folder else ObjectIds.BaseObjectType)
    attributes = ua.ObjectAttributes()
    attributes.DisplayName = ua.LocalizedText(node.title or node.name)
    attributes.Description = ua.LocalizedText(node.description)
    attributes.EventNotifier = 0
    item.NodeAttributes = attributes
    return item


def _variable(node: VariableNode) -> ua.AddNodesItem:
    item = _item(node.id, node.parent, node.name, node.link, ua.NodeClass.Variable, NAMESPACE_INDEX)
    if node.link is Link.PROPERTY:
        type_definition = ObjectIds.PropertyType
    elif node.unit is not None and node.unit.symbol:
        type_definition = ObjectIds.AnalogUnitType
    else:
        type_definition = ObjectIds.BaseDataVariableType
    item.TypeDefinition = standard_node_id(type_definition)
    item.NodeAttributes = _variable_attributes(
        node.name,
        node.description,
        standard_node_id(VARIANT_TYPES[node.type].value),
        ua.Variant() if node.value is None else variant(node.value, node.type),
    )
    return item


def _property(owner: str, name: str, value: Any) -> ua.AddNodesItem:
    """A property of the standard's own, hence its name in namespace 0."""
    item = _item(f"{owner}.{name}", owner, name, Link.PROPERTY, ua.NodeClass.Variable, 0)
    item.TypeDefinition = standard_node_id(ObjectIds.PropertyType)
    first = value[0] if isinstance(value, list) else value
    item.NodeAttributes = _variable_attributes(
        name, "", first.data_type, ua.Variant(value, ua.VariantType.ExtensionObject)
    )
    if isinstance(value, list):
        item.NodeAttributes.ValueRank = ua.ValueRank.OneDimension
        item.NodeAttributes.ArrayDimensions = [len(value)]
    return item


def _variable_attributes(name: str, description: str, data_type: ua.NodeId, value: ua.Variant) -> ua.VariableAttributes:
    attributes = ua.VariableAttributes()
    attributes.DisplayName = ua.LocalizedText(name)
    attributes.Description = ua.LocalizedText(description)
    attributes.DataType = data_type
    attributes.Value = value
    attributes.ValueRank = ua.ValueRank.Scalar
    attributes.ArrayDimensions = []
    attributes.AccessLevel = ua.AccessLevel.CurrentRead.mask
    attributes.UserAccessLevel = ua.AccessLevel.CurrentRead.mask
    attributes.Historizing = False
    attributes.MinimumSamplingInterval = 0.0
    return attributes


def _method(node: MethodNode) -> ua.AddNodesItem:
    item = _item(node.id, node.parent, node.name, Link.COMPONENT, ua.NodeClass.Method, NAMESPACE_INDEX)
    attributes = ua.MethodAttributes()
    attributes.DisplayName = ua.LocalizedText(node.name)
    attributes.Description = ua.LocalizedText(node.description)
    attributes.Executable = True
    attributes.UserExecutable = True
    item.NodeAttributes = attributes
    return item


@cache
def _arguments(arguments: tuple[Argument, ...]) -> list[ua.Argument]:
    """Shared by every account: they never change, and there are six lists of them for each."""
    return [_argument(argument) for argument in arguments]


def _argument(argument: Argument) -> ua.Argument:
    described = ua.Argument()
    described.Name = argument.name
    described.DataType = standard_node_id(VARIANT_TYPES[argument.type].value)
    described.ValueRank = ua.ValueRank.Scalar
    described.ArrayDimensions = []
    described.Description = ua.LocalizedText(argument.description)
    return described


def _currency_unit(currency: Currency) -> ua.CurrencyUnitType:
    """Part 3, 8.61."""
    unit = ua.CurrencyUnitType()
    unit.NumericCode = currency.numeric
    unit.Exponent = currency.exponent
    unit.AlphabeticCode = currency.code
    unit.Currency = ua.LocalizedText(currency.name, "en")
    return unit


def _engineering_unit(unit: Unit) -> ua.EUInformation:
    """Part 8, 5.6.3: the number is the UNECE code's characters, read as one integer; -1 when it has no code."""
    return ua.EUInformation(
        _UNECE_URI if unit.unece else NAMESPACE_URI,
        int.from_bytes(unit.unece.encode("ascii"), "big") if unit.unece else -1,
        ua.LocalizedText(unit.symbol),
        ua.LocalizedText(unit.symbol),
    )


def waiting(server_time: datetime) -> ua.DataValue:
    """What a tag shows before its first reading."""
    return ua.DataValue(ua.Variant(), _WAITING, None, _time(server_time))
