"""What a plant's file may say about a connector and its tags."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from connectors.modbus_address import Address, Base
from connectors.modbus_registers import REGISTERS_MAX, Order, RegisterType, pattern_value
from connectors.opcua_node import NodeAddress
from core.errors import Rejected
from core.quantity import ONE, Unit, parse_duration, parse_unit

T = TypeVar("T")

_PLAIN_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")


def _parsed(parse: Callable[[str], T], type_: type[T], example: str) -> Callable[[Any], T]:
    """A validator that lets the finished value through and parses text; pydantic understands only ValueError."""

    def validate(value: Any) -> T:
        if isinstance(value, type_):
            return value
        if not isinstance(value, str):
            raise ValueError(f"expected text such as {example!r}, got {value!r}")
        try:
            return parse(value)
        except Rejected as rejected:
            raise ValueError(rejected.text) from None

    return validate


def _exact(value: Any) -> Decimal:
    """A number of the file as the decimal that was written there; floats by their shortest name."""
    if isinstance(value, int | float | str | Decimal) and not isinstance(value, bool):
        text = str(value).strip()
        if isinstance(value, float) and "e" in text:
            text = f"{Decimal(text):f}"
        if _PLAIN_DECIMAL.fullmatch(text):
            return Decimal(text)
    raise ValueError(f"expected a plain number such as 0.01, at most 18 digits on each side, got {value!r}")


def _pattern(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"0x[0-9A-Fa-f]{1,16}", value.strip()):
        return int(value, 16)
    raise ValueError(f"expected a raw register pattern such as 0xFFFF, got {value!r}")


Duration = Annotated[
    timedelta,
    BeforeValidator(_parsed(parse_duration, timedelta, "100 ms")),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9.]+ *(ms|s|sec|min|h|d|day)$", "examples": ["100 ms", "5 s"]}),
]
UnitOfMeasure = Annotated[
    Unit,
    PlainValidator(_parsed(parse_unit, Unit, "kWh")),
    WithJsonSchema({"type": "string", "examples": ["kWh", "m", "pieces"]}),
]
ExactNumber = Annotated[
    Decimal,
    BeforeValidator(_exact),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^{_PLAIN_DECIMAL.pattern}$"}]}),
]
Pattern = Annotated[
    int,
    BeforeValidator(_pattern),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^0x[0-9A-Fa-f]{1,16}$"}]}),
]
ModbusAddress = Annotated[
    Address,
    PlainValidator(_parsed(Address.parse, Address, "holding:40011")),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(coil|discrete|input|holding):[0-9]{1,6}(\.[0-9]{1,2})?$",
            "examples": ["holding:40011", "input:30021", "discrete:10001", "coil:1", "holding:40011.3"],
        }
    ),
]
Node = Annotated[
    NodeAddress,
    PlainValidator(_parsed(NodeAddress.parse, NodeAddress, "nsu=urn:plant:logistics;s=Warehouse.PalletsIn")),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^(nsu=[^;]+;|ns=[0-9]+;)?[isgb]=.+$",
            "examples": ["nsu=urn:plant:logistics;s=Warehouse.PalletsIn", "ns=2;i=1001"],
        }
    ),
]


def _security(value: Any) -> Any:
    if value not in (None, "None"):
        raise ValueError(f"expected 'None', got {value!r}: signed and encrypted connections are not available yet")
    return "None"


Security = Annotated[Literal["None"], BeforeValidator(_security)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModbusSettings(_Settings):
    """How to reach a Modbus TCP device and how gently to read it."""

    host: Annotated[str, Field(min_length=1, description="Name or IP address.")]
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    unit: Annotated[int, Field(ge=0, le=255, description="Unit id, the device's number behind a gateway.")] = 1
    every: Annotated[Duration, Field(description="How often to read all tags.")] = timedelta(seconds=1)
    timeout: Annotated[Duration, Field(description="Longest wait for one answer.")] = timedelta(seconds=1)
    max_gap: Annotated[int, Field(ge=0, le=REGISTERS_MAX, description="Unasked registers to read along.")] = 16
    max_registers: Annotated[int, Field(ge=1, le=REGISTERS_MAX, description="Most in one request.")] = REGISTERS_MAX
    base: Annotated[
        Base,
        Field(description="'manual' knows 40001 and 400001 and counts from 1; 1 counts from 1; 0 is the raw offset."),
    ] = "manual"


class _Tag(_Settings):
    """What the raw number of a tag means, and which values can be true."""

    scale: ExactNumber = Decimal(1)
    offset: ExactNumber = Decimal(0)
    unit: UnitOfMeasure = ONE
    min: Annotated[
        ExactNumber | None, Field(description="Least value that can be true, in the tag's unit; what is below is BAD.")
    ] = None
    max: Annotated[
        ExactNumber | None, Field(description="Largest value that can be true, in the tag's unit; above is BAD.")
    ] = None

    @model_validator(mode="after")
    def _measures(self) -> Self:
        if self.scale == 0:
            raise ValueError("scale is 0: every reading would be the offset")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(f"expected min below max, got min {self.min:f} and max {self.max:f}")
        return self


class ModbusTag(_Tag):
    """Where a tag is in a Modbus device and what its bits mean."""

    address: ModbusAddress
    type: RegisterType
    order: Annotated[Order, Field(description="Bytes of the value, A the most significant, as they arrive.")] = (
        Order.ABCD
    )
    not_available: Annotated[
        Pattern | None, Field(description="Raw pattern by which the device says that it has no value.")
    ] = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        address = self.address
        if self.type is RegisterType.BOOL:
            if not address.area.holds_bits and address.bit is None:
                raise ValueError(f"a bool in a register needs its bit, such as '{address}.0'")
            bounds = (self.min, self.max, self.not_available)
            if self.scale != 1 or self.offset != 0 or any(bound is not None for bound in bounds):
                raise ValueError("a bool has no scale, offset, min, max or not_available")
            return self
        if address.area.holds_bits or address.bit is not None:
            raise ValueError(f"'{address}' is one bit; expected type bool, got {self.type}")
        if self.not_available is not None:
            pattern_value(self.type, self.not_available)
        return self


class OpcUaSettings(_Settings):
    """How to reach an OPC UA server."""

    url: Annotated[str, Field(pattern=r"^opc\.tcp://", examples=["opc.tcp://192.168.0.10:4840"])]
    publishing: Annotated[Duration, Field(description="How often the server sends what changed.")] = timedelta(
        milliseconds=100
    )
    timeout: Annotated[Duration, Field(description="Longest silence before the server counts as lost.")] = timedelta(
        seconds=3
    )
    security: Security = "None"
    user: str | None = None
    password_file: Path | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        parts = urlsplit(self.url)
        if not parts.hostname:
            raise ValueError(f"expected a url such as 'opc.tcp://192.168.0.10:4840', got {self.url!r}")
        if parts.username is not None:
            raise ValueError("a url must not carry a user or password; set 'user' and 'password_file'")
        if self.password_file is not None and self.user is None:
            raise ValueError("password_file without a user; set 'user'")
        return self


class OpcUaTag(_Tag):
    """Which node a tag is."""

    node: Node
    type: Annotated[Literal["number", "bool", "text"], Field(description="What the node holds.")] = "number"
