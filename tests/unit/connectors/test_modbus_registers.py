"""What registers mean, without a device."""

import struct
from decimal import Decimal
from itertools import pairwise
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.modbus_address import Address, Area
from connectors.modbus_registers import Block, Order, RegisterTag, RegisterType, pattern_value, plan
from connectors.scaling import MEASURABLE, decimal_of_float32, decimal_of_float64, scaler
from core.errors import Rejected
from core.sample import Quality, TagId

NUMBERS = [type_ for type_ in RegisterType if type_ is not RegisterType.BOOL]


def as_sent(type_: RegisterType, order: Order, value: float) -> bytes:
    """What a device with this order sends: the letters of the order, spelled out byte by byte."""
    big = struct.pack(">" + type_.layout, value)
    words = [big[at : at + 2] for at in range(0, len(big), 2)]
    if order in (Order.CDAB, Order.DCBA):
        words.reverse()
    if order in (Order.BADC, Order.DCBA):
        words = [word[::-1] for word in words]
    return b"".join(words)


def a_tag(name: str, type_: RegisterType, offset: int = 0, **more: object) -> RegisterTag:
    return RegisterTag(TagId(name), Area.HOLDING, offset, type_, **more)


@pytest.mark.parametrize(
    ("text", "base", "offset"),
    [
        ("holding:40001", "manual", 0),
        ("holding:40011", "manual", 10),
        ("holding:400011", "manual", 10),
        ("holding:465536", "manual", 65535),
        ("input:30021", "manual", 20),
        ("discrete:10001", "manual", 0),
        ("coil:00001", "manual", 0),
        ("coil:1", "manual", 0),
        ("holding:11", "manual", 10),
        ("holding:4011", "manual", 4010),
        ("holding:65536", "manual", 65535),
        ("holding:40011", 1, 40010),
        ("holding:1", 1, 0),
        ("holding:0", 0, 0),
        ("holding:40011", 0, 40011),
        (" input : 30021 ", "manual", 20),
    ],
)
def test_an_address_is_read_as_the_manual_prints_it(text, base, offset):
    assert Address.parse(text).offset(base) == offset


@pytest.mark.parametrize(
    ("text", "base", "told"),
    [
        ("holding:0", "manual", "the first is 'holding:40001'"),
        ("holding:40000", "manual", "the first is 'holding:40001'"),
        ("holding:30001", "manual", "write 'input:30001'"),
        ("coil:10001", "manual", "write 'discrete:10001'"),
        ("holding:466000", "manual", "65536 addresses"),
        ("holding:65536", 0, "65536 addresses"),
        ("holding:0", 1, "65536 addresses"),
    ],
)
def test_an_address_outside_its_table_is_refused_with_advice(text, base, told):
    with pytest.raises(Rejected, match=told):
        Address.parse(text).offset(base)


@pytest.mark.parametrize("text", ["", "40011", "register:1", "holding:", "holding:-1", "holding:1.16", "coil:1.0"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(Rejected):
        Address.parse(text)


@pytest.mark.parametrize(
    ("type_", "order", "data", "value"),
    [
        (RegisterType.UINT16, Order.ABCD, "1234", 0x1234),
        (RegisterType.UINT16, Order.CDAB, "1234", 0x1234),
        (RegisterType.UINT16, Order.BADC, "1234", 0x3412),
        (RegisterType.UINT16, Order.DCBA, "1234", 0x3412),
        (RegisterType.INT16, Order.ABCD, "fffe", -2),
        (RegisterType.UINT32, Order.ABCD, "12345678", 0x12345678),
        (RegisterType.UINT32, Order.CDAB, "56781234", 0x12345678),
        (RegisterType.UINT32, Order.BADC, "34127856", 0x12345678),
        (RegisterType.UINT32, Order.DCBA, "78563412", 0x12345678),
        (RegisterType.INT32, Order.ABCD, "ffffffff", -1),
        (RegisterType.FLOAT32, Order.ABCD, "42f6e979", Decimal("123.456")),
        (RegisterType.FLOAT32, Order.CDAB, "e97942f6", Decimal("123.456")),
        (RegisterType.FLOAT64, Order.ABCD, "3fb999999999999a", Decimal("0.1")),
        (RegisterType.UINT64, Order.CDAB, "0708050603040102", 0x0102030405060708),
        (RegisterType.UINT64, Order.BADC, "0201040306050807", 0x0102030405060708),
        (RegisterType.UINT64, Order.DCBA, "0807060504030201", 0x0102030405060708),
    ],
)
def test_every_order_of_the_table_is_decoded(type_, order, data, value):
    (reading,) = Block.of([a_tag("t", type_, order=order)]).decode(bytes.fromhex(data))
    assert reading.value == value
    assert type(reading.value) is type(value)


@st.composite
def tags_and_values(draw):
    """Tags of every type and order, some of them over the same registers, and what each should read."""
    types = st.sampled_from([type_ for type_ in NUMBERS if not type_.is_float])
    tags, values, offset = [], {}, draw(st.integers(0, 60_000))
    image: dict[int, int] = {}
    for number in range(draw(st.integers(1, 8))):
        type_, order = draw(types), draw(st.sampled_from(Order))
        bits = 16 * type_.words
        low = -(1 << bits - 1) if type_.value.startswith("int") else 0
        value = draw(st.integers(max(low, 1 - MEASURABLE), min(low + (1 << bits), MEASURABLE) - 1))
        offset += draw(st.integers(0, 5))
        tags.append(a_tag(f"t{number}", type_, offset, order=order))
        if draw(st.booleans()):
            tags.append(a_tag(f"again{number}", type_, offset, order=order))
            values[f"again{number}"] = value
        values[f"t{number}"] = value
        sent = as_sent(type_, order, value)
        image |= {offset + at // 2: int.from_bytes(sent[at : at + 2], "big") for at in range(0, len(sent), 2)}
        offset += type_.words
    return tags, values, image


@given(tags_and_values(), st.integers(0, 20), st.integers(4, 125))
def test_what_was_encoded_is_decoded_for_all_orders_at_once(case, max_gap, max_registers):
    tags, values, image = case
    read = {}
    for block in plan(tags, max_gap, max_registers):
        data = b"".join(image.get(block.start + at, 0xDEAD).to_bytes(2, "big") for at in range(block.count))
        read |= {reading.tag: reading.value for reading in block.decode(data)}
    assert read == values


areas = st.sampled_from(Area)


@st.composite
def any_tags(draw):
    tags = []
    for number in range(draw(st.integers(0, 40))):
        area = draw(areas)
        type_ = RegisterType.BOOL if area.holds_bits else draw(st.sampled_from(RegisterType))
        tags.append(RegisterTag(TagId(str(number)), area, draw(st.integers(0, 400)), type_))
    return tags


@given(any_tags(), st.integers(0, 30), st.integers(4, 125))
def test_the_plan_covers_every_tag_once_and_splits_none(tags, max_gap, max_registers):
    blocks = plan(tags, max_gap, max_registers)
    assert sorted(tag.tag for block in blocks for tag in block.tags) == sorted(tag.tag for tag in tags)
    for block in blocks:
        weight = 16 if block.area.holds_bits else 1
        assert block.count <= max_registers * weight
        assert {tag.area for tag in block.tags} == {block.area}
        assert all(block.start <= tag.offset and tag.end <= block.start + block.count for tag in block.tags)
        wanted = {at for tag in block.tags for at in range(tag.offset, tag.end)}
        unwanted = sorted(set(range(block.start, block.start + block.count)) - wanted)
        runs = 1 if unwanted else 0
        longest = run = runs
        for before, after in pairwise(unwanted):
            run = run + 1 if after == before + 1 else 1
            longest = max(longest, run)
        assert longest <= max_gap * weight


def test_neighbours_share_a_request_and_a_gap_too_wide_starts_another():
    tags = [a_tag("a", RegisterType.UINT16, 0), a_tag("b", RegisterType.UINT16, 3), a_tag("c", RegisterType.UINT16, 7)]
    assert [(block.start, block.count) for block in plan(tags, 2, 125)] == [(0, 4), (7, 1)]
    assert [(block.start, block.count) for block in plan(tags, 0, 125)] == [(0, 1), (3, 1), (7, 1)]


def test_bits_are_counted_from_the_lowest_of_the_first_byte():
    tags = [RegisterTag(TagId(str(at)), Area.COIL, at, RegisterType.BOOL) for at in (3, 4, 12)]
    block = Block.of(tags)
    assert (block.start, block.count, block.byte_count) == (3, 10, 2)
    values = {reading.tag: reading.value for reading in block.decode(bytes([0b00000001, 0b11111110]))}
    assert values == {"3": True, "4": False, "12": True}


def test_one_bit_of_a_register_is_a_bool():
    tags = [a_tag("low", RegisterType.BOOL, bit=0), a_tag("high", RegisterType.BOOL, bit=15)]
    assert [reading.value for reading in Block.of(tags).decode(b"\x80\x00")] == [False, True]


@pytest.mark.parametrize(
    ("raw", "scale", "offset", "value"),
    [
        (4242, "0.01", "0", Decimal("42.42")),
        (4242, "1", "0", 4242),
        (4242, "10", "-2", 42418),
        (4242, "1.0", "0", 4242),
        (2**64 - 1, "0.000000001", "0.1", Decimal("18446744073.809551615")),
        (3, "0.1", "0", Decimal("0.3")),
        (0, "0.5", "-40", Decimal(-40)),
    ],
)
def test_scaling_is_exact_and_whole_numbers_stay_whole(raw, scale, offset, value):
    scaled = scaler(Decimal(scale), Decimal(offset))(raw)
    assert scaled == value
    assert type(scaled) is type(value)


@pytest.mark.parametrize("bits", ["7fc00000", "7f800000", "ff800000"])
def test_a_float_that_is_no_number_is_bad_and_says_so(bits):
    (reading,) = Block.of([a_tag("t", RegisterType.FLOAT32)]).decode(bytes.fromhex(bits))
    assert (reading.value, reading.quality) == (None, Quality.BAD)
    assert "expected a number" in reading.reason


@pytest.mark.parametrize(
    ("type_", "pattern", "data", "is_missing"),
    [
        (RegisterType.UINT16, 0xFFFF, "ffff", True),
        (RegisterType.UINT16, 0xFFFF, "fffe", False),
        (RegisterType.INT16, 0x8000, "8000", True),
        (RegisterType.INT16, -32768, "8000", True),
        (RegisterType.UINT32, 0xFFFFFFFF, "ffffffff", True),
        (RegisterType.FLOAT32, 0x7F7FFFFF, "7f7fffff", True),
        (RegisterType.FLOAT32, 0x7F7FFFFF, "3f800000", False),
    ],
)
def test_the_pattern_for_not_available_is_bad(type_, pattern, data, is_missing):
    (reading,) = Block.of([a_tag("t", type_, not_available=pattern)]).decode(bytes.fromhex(data))
    assert (reading.quality is Quality.BAD) is is_missing
    assert (reading.value is None) is is_missing


def test_a_pattern_too_long_for_its_type_is_refused():
    with pytest.raises(ValueError, match="16 bits"):
        pattern_value(RegisterType.UINT16, 0x10000)
    with pytest.raises(ValueError, match="16 bits"):
        pattern_value(RegisterType.UINT16, -1)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_becomes_a_decimal_that_names_it(value):
    decimal = decimal_of_float32(value)
    assert struct.pack(">f", float(decimal)) == struct.pack(">f", value)
    assert len(decimal.as_tuple().digits) <= 9


@given(st.integers(-999_999, 999_999), st.integers(-6, 3))
def test_six_digits_written_to_a_float32_are_read_back_as_written(digits, exponent):
    written = Decimal(digits).scaleb(exponent)
    (stored,) = struct.unpack(">f", struct.pack(">f", float(written)))
    assert decimal_of_float32(stored) == written


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float64_becomes_a_decimal_that_names_it(value):
    assert isfinite(value)
    assert float(decimal_of_float64(value)) == value


def test_an_answer_of_the_wrong_length_is_never_decoded():
    with pytest.raises(ValueError, match="answers 4 bytes, not 2"):
        Block.of([a_tag("t", RegisterType.UINT32)]).decode(b"\x00\x01")
