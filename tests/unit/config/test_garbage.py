"""Whatever stands in the file, the answer is a plant or Misconfigured with a place for each problem."""

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.plant import check_plant
from config.reader import read
from core.errors import Misconfigured

EXAMPLE = (Path(__file__).parents[3] / "examples" / "factory.yaml").read_bytes()
PIECES = [
    b": ",
    b"- ",
    b"{",
    b"}",
    b"[",
    b"]",
    b"&a ",
    b"*a",
    b"\t",
    b"\n",
    b"'",
    b'"',
    b"!!x ",
    b"? ",
    b"| ",
    b"\0",
    b"%",
]

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.decimals(allow_nan=False).map(str)
WORDS = [
    *("plant", "name", "accounts", "owner", "parties", "machines", "modbus", "opcua", "tags", "counter", "address"),
    *(
        "agreements",
        "from",
        "to",
        "meter",
        "tariff",
        "tariffs",
        "charge",
        "prices",
        "csv",
        "unit",
        "users",
        "pays_from",
    ),
    *(
        "inputs",
        "constants",
        "examples",
        "url",
        "timezone",
        "currency",
        "floor",
        "integral",
        "a",
        "a.b",
        "host",
        "type",
    ),
]
values = st.recursive(
    scalars | st.sampled_from(WORDS),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(WORDS), below, max_size=4),
    max_leaves=30,
)


def check(content: bytes) -> None:
    try:
        check_plant(read(content, "factory.yaml"))
        problems = None
    except Misconfigured as wrong:
        problems = wrong.problems
        str(wrong).encode()
    assert problems is None or all(problem.line for problem in problems)
    assert problems != ()


@given(st.binary(max_size=300))
def test_random_bytes(content: bytes) -> None:
    check(content)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(WORDS), values, max_size=6))
def test_the_right_words_in_the_wrong_places(content: object) -> None:
    check(json.dumps(content, ensure_ascii=False).encode(errors="replace"))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, len(EXAMPLE)), st.integers(0, 40), st.sampled_from(PIECES) | st.binary(max_size=4)),
        min_size=1,
        max_size=3,
    )
)
def test_the_example_with_pieces_torn_out_and_put_in(cuts: list[tuple[int, int, bytes]]) -> None:
    content = EXAMPLE
    for start, length, piece in cuts:
        content = content[:start] + piece + content[start + length :]
    check(content)
