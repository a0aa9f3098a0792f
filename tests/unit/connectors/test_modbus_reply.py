"""Only the exact answer to the question is an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.modbus_reply import Answer, Exceptional, Malformed, Question, find_reply

QUESTION = Question(transaction=7, unit=1, function_code=3, byte_count=4)
GOOD = bytes.fromhex("0007 0000 0007 01 03 04 11223344")
DATA = bytes.fromhex("11223344")


def test_the_exact_answer_is_taken():
    assert find_reply(GOOD, QUESTION) == Answer(DATA)


@given(st.integers(0, len(GOOD) - 1))
def test_part_of_an_answer_waits_for_the_rest(length):
    assert find_reply(GOOD[:length], QUESTION) is None


def test_an_exception_carries_its_code():
    reply = find_reply(bytes.fromhex("0007 0000 0003 01 83 02"), QUESTION)
    assert reply == Exceptional(2)
    assert str(reply) == "exception 2 (illegal data address)"


def test_a_late_answer_to_an_earlier_question_is_passed_over():
    late = bytes.fromhex("0006 0000 0007 01 03 04 aaaaaaaa")
    assert find_reply(late, QUESTION) is None
    assert find_reply(late + GOOD, QUESTION) == Answer(DATA)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ("0007 0001 0007 01 03 04 11223344", "protocol 0"),
        ("0007 0000 ffff 01 03 04 11223344", "a length of 3 to 254"),
        ("0007 0000 0002 01 03", "a length of 3 to 254"),
        ("0007 0000 0007 02 03 04 11223344", "unit 2"),
        ("0007 0000 0007 01 04 04 11223344", "expected function 3, got 4"),
        ("0007 0000 0005 01 03 02 1122", "announces 2"),
        ("0007 0000 0006 01 03 04 112233", "got 3"),
        ("0007 0000 0008 01 03 04 1122334455", "got 5"),
        ("0007 0000 0007 01 03 03 11223344", "announces 3"),
        ("0007 0000 0003 01 84 02", "expected function 3, got 132"),
        ("0007 0000 0004 01 83 02 00", "an exception of 3 bytes"),
    ],
)
def test_what_is_not_quite_the_answer_is_malformed(frame, told):
    reply = find_reply(bytes.fromhex(frame), QUESTION)
    assert isinstance(reply, Malformed)
    assert told in reply.text


@given(st.integers(0, len(GOOD) - 5), st.integers(1, 255))
def test_no_flipped_byte_before_the_data_yields_a_value(at, flip):
    frame = bytearray(GOOD)
    frame[at] ^= flip
    assert not isinstance(find_reply(bytes(frame), QUESTION), Answer)


@given(st.binary(max_size=300))
def test_noise_never_yields_a_value(noise):
    reply = find_reply(noise, QUESTION)
    assert not isinstance(reply, Answer) or noise.find(GOOD[:9]) >= 0
