"""What a plant's file may say about meters and agreements."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from connectors.settings import Duration
from core.errors import Rejected
from core.quantity import Quantity
from ledger.account import AccountId

TAG_PATTERN = r"^[a-z][a-z0-9-]*\.[a-z][a-z0-9_]*$"
NAME_PATTERN = r"^[a-z][a-z0-9_]*$"


def _rate(value: Any) -> Quantity:
    if isinstance(value, Quantity):
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected a rate with its unit such as '3 m/s', got {value}")
    try:
        rate = Quantity.parse(value)
    except Rejected as rejected:
        raise ValueError(rejected.text) from None
    if rate.value <= 0:
        raise ValueError(f"expected a rate above zero such as '3 m/s', got {value!r}")
    return rate


RateOfChange = Annotated[
    Quantity,
    PlainValidator(_rate),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? *\S", "examples": ["3 m/s", "500 kW"]}),
]
MeterTag = Annotated[str, Field(pattern=TAG_PATTERN, examples=["agv-7.odometer"])]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CounterSettings(_Settings):
    """A cumulative register: its differences are the usage. After a confirmed reset a new segment starts."""

    max_rate: Annotated[
        RateOfChange | None, Field(description="The fastest the machine can count; what is faster is held as doubtful.")
    ] = None
    bits: Annotated[
        int | None, Field(ge=8, le=64, description="Where the register starts over; known for unsigned types.")
    ] = None
    confirm_reads: Annotated[int, Field(ge=2, le=1000, description="Readings that confirm a reset.")] = 5


class DurationSettings(_Settings):
    """The time during which a tag is true is the usage."""

    max_gap: Annotated[Duration, Field(description="Between readings further apart nothing is counted.")] = timedelta(
        seconds=10
    )


class GaugeSettings(_Settings):
    """A gauge summed over time is the usage: kW become kWh."""

    max_gap: Annotated[Duration, Field(description="Between readings further apart nothing is counted.")] = timedelta(
        seconds=10
    )


class EventSettings(_Settings):
    """How often a tag turns true or false is the usage."""

    edge: Literal["rising", "falling", "both"] = "rising"


MeterSettings = CounterSettings | DurationSettings | GaugeSettings | EventSettings

METERS: dict[str, type[MeterSettings]] = {
    "counter": CounterSettings,
    "duration": DurationSettings,
    "integral": GaugeSettings,
    "event": EventSettings,
}
"""Key under a tag in the plant's file → its settings. A tag has one of them at most."""


class AgreementSettings(_Settings):
    """The payer pays the payee by a tariff for what a meter counts."""

    payer: Annotated[AccountId, Field(alias="from", description="The account that pays.")]
    payee: Annotated[AccountId, Field(alias="to", description="The account that is paid.")]
    meter: Annotated[MeterTag, Field(description="The metered tag, as machine.tag.")]
    tariff: Annotated[str, Field(description="A tariff.")]
    inputs: Annotated[
        dict[Annotated[str, Field(pattern=NAME_PATTERN)], MeterTag],
        Field(description="More names for the tariff: tags of other machines, as machine.tag."),
    ] = {}
