"""What OPC UA data values and node ids mean, without a server."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from asyncua import ua

from connectors.opcua_connector import SubscribedTag, reading_of
from connectors.opcua_node import NodeAddress
from connectors.scaling import scaler
from core.clock import from_datetime
from core.errors import Rejected
from core.sample import Quality, TagId

TAG = SubscribedTag(TagId("w.t"), NodeAddress.parse("i=1"), scaler(Decimal("0.1"), Decimal(0)))


@pytest.mark.parametrize(
    ("status", "quality", "value", "told"),
    [
        (ua.StatusCodes.Good, Quality.GOOD, 5, ""),
        (ua.StatusCodes.GoodLocalOverride, Quality.GOOD, 5, ""),
        (ua.StatusCodes.UncertainLastUsableValue, Quality.UNCERTAIN, 5, "UncertainLastUsableValue"),
        (ua.StatusCodes.BadSensorFailure, Quality.BAD, None, "BadSensorFailure"),
        (0xC0000000, Quality.BAD, None, ""),
        (0x480, Quality.GOOD, 5, "data loss"),
        (ua.StatusCodes.UncertainLastUsableValue | 0x480, Quality.UNCERTAIN, 5, "data loss"),
    ],
)
def test_the_severity_bits_of_a_status_are_the_quality(status, quality, value, told):
    reading = reading_of(TAG, ua.DataValue(ua.Variant(50, ua.VariantType.UInt16), StatusCode=ua.StatusCode(status)))
    assert (reading.quality, reading.value) == (quality, value)
    assert told in reading.reason
    assert bool(reading.reason) or quality is Quality.GOOD


@pytest.mark.parametrize(
    ("value", "type_", "told"),
    [
        (float("nan"), ua.VariantType.Float, "the node holds nan"),
        (float("inf"), ua.VariantType.Double, "the node holds inf"),
        ([1, 2], ua.VariantType.Int32, "an array of 2"),
        (datetime(2026, 1, 1, tzinfo=UTC), ua.VariantType.DateTime, "the node holds a DateTime"),
        (b"x", ua.VariantType.ByteString, "the node holds a ByteString"),
        (None, ua.VariantType.Null, "no value"),
    ],
)
def test_what_is_no_single_value_is_bad_and_says_so(value, type_, told):
    reading = reading_of(TAG, ua.DataValue(ua.Variant(value, type_)))
    assert (reading.quality, reading.value) == (Quality.BAD, None)
    assert told in reading.reason


def test_the_source_time_is_the_devices_and_its_zero_is_none():
    value = ua.Variant(1, ua.VariantType.UInt16)
    moment = datetime(2026, 11, 22, 15, 4, 5, 1, tzinfo=UTC)
    assert reading_of(TAG, ua.DataValue(value, SourceTimestamp=moment)).source_time == from_datetime(moment)
    assert reading_of(TAG, ua.DataValue(value, SourceTimestamp=datetime(1601, 1, 1, tzinfo=UTC))).source_time is None
    assert reading_of(TAG, ua.DataValue(value)).source_time is None


@pytest.mark.parametrize(
    ("text", "uri", "index", "identifier"),
    [
        ("nsu=urn:x;s=Y", "urn:x", 0, "Y"),
        ("nsu=http://x.se/UA/;i=7", "http://x.se/UA/", 0, 7),
        ("ns=2;s=A.B;C=D", None, 2, "A.B;C=D"),
        ("i=2258", None, 0, 2258),
        ("nsu=urn:a%3Bb;s=Y", "urn:a;b", 0, "Y"),
        ("ns=1;b=AQI=", None, 1, b"\x01\x02"),
    ],
)
def test_a_node_id_is_read(text, uri, index, identifier):
    node = NodeAddress.parse(text)
    assert (node.uri, node.index, node.identifier) == (uri, index, identifier)


@pytest.mark.parametrize(
    "text", ["", "Y", "ns=x;s=Y", "nsu=urn:x", "ns=1;i=abc", "ns=1;g=1", "ns=99999;i=1", "i=4294967296"]
)
def test_what_is_no_node_id_is_refused(text):
    with pytest.raises(Rejected):
        NodeAddress.parse(text)
