"""Pure Modbus TCP: is this the answer to that request. Anything that is not exactly it never becomes a value."""

from __future__ import annotations

from dataclasses import dataclass

HEADER_BYTES = 7
"""Transaction, protocol, length, unit (Modbus Messaging on TCP/IP V1.0b, 3.1.3)."""
LENGTH_MAX = 254
"""Most that the length field may say: the unit and 253 bytes."""

EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, not done yet",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not answer",
}
"""Exception codes of Modbus Application Protocol V1.1b3, 7."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked: `byte_count` bytes of data are expected back."""

    transaction: int
    unit: int
    function_code: int
    byte_count: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The data of a good answer, exactly `byte_count` bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Exceptional:
    """The device understood and declined."""

    code: int

    def __str__(self) -> str:
        return f"exception {self.code} ({EXCEPTIONS.get(self.code, 'unknown')})"


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not Modbus, or not an answer to this question. The connection can no longer be trusted."""

    text: str


Reply = Answer | Exceptional | Malformed


def find_reply(received: bytes, question: Question) -> Reply | None:
    """The reply in what was received since the question was sent; None while more must come.

    Whole frames of other transactions are late answers and are passed over.
    """
    while len(received) >= HEADER_BYTES:
        transaction, protocol, length = (int.from_bytes(received[at : at + 2], "big") for at in (0, 2, 4))
        if protocol != 0:
            return Malformed(f"expected protocol 0 in the header, got {protocol}")
        if not 3 <= length <= LENGTH_MAX:
            return Malformed(f"expected a length of 3 to {LENGTH_MAX} in the header, got {length}")
        end = HEADER_BYTES - 1 + length
        if len(received) < end:
            return None
        if transaction == question.transaction:
            return _reply(received[HEADER_BYTES - 1], received[HEADER_BYTES:end], question)
        received = received[end:]
    return None


def _reply(unit: int, body: bytes, question: Question) -> Reply:
    if unit != question.unit:
        return Malformed(f"expected an answer from unit {question.unit}, got one from unit {unit}")
    if body[0] == question.function_code | 0x80:
        return Exceptional(body[1]) if len(body) == 2 else Malformed(f"an exception of {len(body)} bytes, not 2")
    if body[0] != question.function_code:
        return Malformed(f"expected function {question.function_code}, got {body[0]}")
    if body[1] != question.byte_count:
        return Malformed(f"expected {question.byte_count} bytes of data, the answer announces {body[1]}")
    if len(body) != 2 + question.byte_count:
        return Malformed(f"expected {question.byte_count} bytes of data, got {len(body) - 2}")
    return Answer(body[2:])
