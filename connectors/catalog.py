"""The kinds of machine interface Myntverk speaks. A new connector is one file, its settings, and one line in KINDS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from connectors.connector import Connector
from connectors.modbus_registers import RegisterTag
from connectors.scaling import scaler
from connectors.settings import ModbusSettings, ModbusTag, OpcUaSettings, OpcUaTag
from core.clock import Clock
from core.errors import Misconfigured, Problem, Rejected
from core.sample import tag_id

Tags = Mapping[str, Any]
"""Tag name → settings of the kind's `tag` class."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: the key under a machine in the plant's file, the two settings classes, and what makes a connector.

    `check` finds what only shows when settings and tags are seen together; paths start at the machine.
    `build` imports the protocol's library, so that a plant loads only those it uses; Misconfigured if `check` would
    have found something.
    """

    name: str
    settings: type[BaseModel]
    tag: type[BaseModel]
    check: Callable[[Any, Tags], list[Problem]]
    build: Callable[[str, Any, Tags, Clock], Connector]


def _modbus_tag(machine: str, name: str, settings: ModbusSettings, tag: ModbusTag) -> RegisterTag:
    """Rejected when the address cannot be one, or the tag does not fit a request."""
    offset = tag.address.offset(settings.base)
    found = RegisterTag(
        tag=tag_id(machine, name),
        area=tag.address.area,
        offset=offset,
        type=tag.type,
        order=tag.order,
        bit=tag.address.bit,
        scale=scaler(tag.scale, tag.offset, tag.min, tag.max),
        not_available=tag.not_available,
    )
    if found.end > 65536:
        raise Rejected("not_an_address", f"{tag.address}: the last register of this {tag.type} lies past the table")
    if not found.area.holds_bits and found.length > settings.max_registers:
        raise Rejected("too_long", f"a {tag.type} takes {found.length} registers, max_registers is lower")
    return found


def _check_modbus(settings: ModbusSettings, tags: Tags) -> list[Problem]:
    problems = []
    for name, tag in tags.items():
        try:
            _modbus_tag("", name, settings, tag)
        except Rejected as rejected:
            problems.append(Problem(rejected.text, path=f"tags.{name}.address"))
    return problems


def _build_modbus(machine: str, settings: ModbusSettings, tags: Tags, clock: Clock) -> Connector:
    from connectors.modbus_connector import ModbusConnector

    if problems := _check_modbus(settings, tags):
        raise Misconfigured(problems)
    return ModbusConnector(machine, settings, [_modbus_tag(machine, name, settings, tag) for name, tag in tags.items()])


def _check_opcua(settings: OpcUaSettings, tags: Tags) -> list[Problem]:
    if settings.password_file is not None and not settings.password_file.is_file():
        return [Problem(f"no file {settings.password_file}", path="opcua.password_file")]
    return []


def _build_opcua(machine: str, settings: OpcUaSettings, tags: Tags, clock: Clock) -> Connector:
    from connectors.opcua_connector import OpcUaConnector, SubscribedTag

    if problems := _check_opcua(settings, tags):
        raise Misconfigured(problems)
    subscribed = [
        SubscribedTag(tag_id(machine, name), tag.node, scaler(tag.scale, tag.offset, tag.min, tag.max))
        for name, tag in tags.items()
    ]
    return OpcUaConnector(machine, settings, subscribed, clock)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("modbus", ModbusSettings, ModbusTag, _check_modbus, _build_modbus),
        Kind("opcua", OpcUaSettings, OpcUaTag, _check_opcua, _build_opcua),
    )
}
