"""Which numbers a tag can hold: within its bounds and within what can be measured, over either connector."""

from __future__ import annotations

import struct
from decimal import Decimal

import pytest
from asyncua import ua

from connectors.connector import Reading
from connectors.modbus_address import Area
from connectors.modbus_registers import Block, RegisterTag, RegisterType
from connectors.opcua_connector import SubscribedTag, reading_of
from connectors.opcua_node import NodeAddress
from connectors.scaling import scaler, unscaled
from core.sample import Quality, TagId

NAME = TagId("m.t")


def over_opcua(scale, value: float, type_: ua.VariantType) -> Reading:
    return reading_of(SubscribedTag(NAME, NodeAddress.parse("i=1"), scale), ua.DataValue(ua.Variant(value, type_)))


def over_modbus(scale, value: float, type_: RegisterType) -> Reading:
    tag = RegisterTag(NAME, Area.HOLDING, 0, type_, scale=scale)
    ((_, reading),) = enumerate(Block.of([tag]).decode(struct.pack(">" + type_.layout, value)))
    return reading


def over_both(scale, value: float, *, whole: bool = False) -> list[Reading]:
    if whole:
        return [over_opcua(scale, value, ua.VariantType.Int64), over_modbus(scale, value, RegisterType.INT64)]
    return [over_opcua(scale, value, ua.VariantType.Double), over_modbus(scale, value, RegisterType.FLOAT64)]


@pytest.mark.parametrize(("raw", "value"), [(-400, Decimal("-40.0")), (0, Decimal("0.0")), (1000, Decimal("100.0"))])
def test_a_value_on_or_within_its_bounds_is_good(raw, value):
    scale = scaler(Decimal("0.1"), Decimal(0), Decimal(-40), Decimal(100))
    for reading in over_both(scale, raw, whole=True):
        assert (reading.quality, reading.value) == (Quality.GOOD, value)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (-401, "expected at least min -40, got -40.1"),
        (1001, "expected at most max 100, got 100.1"),
        (32767, "expected at most max 100, got 3276.7"),
    ],
)
def test_a_value_outside_its_bounds_after_scaling_is_bad_and_names_the_bound(raw, reason):
    scale = scaler(Decimal("0.1"), Decimal(0), Decimal(-40), Decimal(100))
    for reading in over_both(scale, raw, whole=True):
        assert (reading.quality, reading.value, reading.reason) == (Quality.BAD, None, reason)


@pytest.mark.parametrize("scale", [unscaled, scaler(Decimal(1), Decimal(0), low=Decimal(0))], ids=["plain", "from 0"])
def test_a_single_bound_leaves_the_other_side_open(scale):
    for reading in over_both(scale, 10**18 - 1, whole=True):
        assert (reading.quality, reading.value) == (Quality.GOOD, 10**18 - 1)


@pytest.mark.parametrize(
    ("scale", "value", "whole"),
    [
        (unscaled, 10**18, True),
        (unscaled, -(10**18), True),
        (unscaled, 3.4e38, False),
        (unscaled, -1e300, False),
        (scaler(Decimal(1000), Decimal(0)), 10**15, True),
        (scaler(Decimal("0.5"), Decimal(0)), 1e300, False),
        (scaler(Decimal(1), Decimal(0), low=Decimal(0)), 1e300, False),
        (scaler(Decimal(1), Decimal(0), high=Decimal(0)), -1e300, False),
    ],
)
def test_a_number_beyond_what_can_be_measured_is_bad_with_or_without_bounds(scale, value, whole):
    for reading in over_both(scale, value, whole=whole):
        assert (reading.quality, reading.value) == (Quality.BAD, None)
        assert "beyond what can be measured" in reading.reason


def test_a_large_raw_number_is_good_when_its_scale_makes_it_measurable():
    for reading in over_both(scaler(Decimal("0.001"), Decimal(0)), 2**63 - 1, whole=True):
        assert (reading.quality, reading.value) == (Quality.GOOD, Decimal("9223372036854775.807"))
