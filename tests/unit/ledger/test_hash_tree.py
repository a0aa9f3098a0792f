"""A tree of hashes: every leaf has a path, and nothing but the leaf and its path give the root."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.hash_tree import climb, path, root

LEAVES_MAX = 5000
AT_THE_EDGES = (1, 2, 3, 63, 64, 65, 127, 128, 129, 4095, 4096, 4097, LEAVES_MAX)


def leaf(number: int) -> bytes:
    return hashlib.sha256(b"leaf %d" % number).digest()


LEAVES = b"".join(leaf(number) for number in range(LEAVES_MAX))


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int]:
    """So many leaves, and the place of one of them."""
    count = draw(st.integers(1, LEAVES_MAX))
    return count, draw(st.integers(0, count - 1))


def root_by_hand(level: list[bytes]) -> bytes:
    """The tree as the reference page tells it, one hash at a time."""
    while len(level) > 1:
        groups = [level[start : start + 64] for start in range(0, len(level), 64)]
        level = [hashlib.sha256(b"\x01" + b"".join(group)).digest() for group in groups]
    return level[0]


@given(places())
@settings(max_examples=100, deadline=None)
def test_every_leaf_climbs_to_the_root(of: tuple[int, int]) -> None:
    count, place = of
    leaves = LEAVES[: count * 32]
    assert climb(leaf(place), path(leaves, place)) == root(leaves)


@pytest.mark.parametrize("count", AT_THE_EDGES)
def test_the_first_and_the_last_leaf_climb_to_the_root(count: int) -> None:
    leaves = LEAVES[: count * 32]
    for place in (0, count - 1):
        assert climb(leaf(place), path(leaves, place)) == root(leaves)


@pytest.mark.parametrize("count", AT_THE_EDGES)
def test_the_root_is_the_one_that_is_made_by_hand(count: int) -> None:
    assert root(LEAVES[: count * 32]) == root_by_hand([leaf(number) for number in range(count)])


def test_the_roots_stay_what_they_were_for_ever() -> None:
    assert root(LEAVES[: 65 * 32]).hex() == "085549d3abb7af0032d5516c243352860d933529840b4de417d0e4061eeb9d23"
    assert root(LEAVES).hex() == "5207c16bd375ba8e9a306a05d1a57470d489d22c869daeddcfc4ef774eb93ce7"


def test_a_single_leaf_is_its_own_root_and_no_leaf_at_all_is_zeros() -> None:
    assert root(leaf(0)) == leaf(0)
    assert path(leaf(0), 0) == []
    assert climb(leaf(0), []) == leaf(0)
    assert root(b"") == bytes(32)


@given(places(), st.data())
@settings(max_examples=60, deadline=None)
def test_another_leaf_or_another_path_does_not_give_the_root(of: tuple[int, int], data: st.DataObject) -> None:
    count, place = of
    leaves = LEAVES[: count * 32]
    steps = path(leaves, place)
    assert climb(leaf(LEAVES_MAX), steps) != root(leaves)
    with_siblings = [level for level, (before, after) in enumerate(steps) if before + after]
    if with_siblings:
        level = data.draw(st.sampled_from(with_siblings))
        before, after = steps[level]
        bit = data.draw(st.integers(0, len(before + after) * 8 - 1))
        flipped = bytearray(before + after)
        flipped[bit // 8] ^= 1 << bit % 8
        steps[level] = bytes(flipped[: len(before)]), bytes(flipped[len(before) :])
        assert climb(leaf(place), steps) != root(leaves)


@pytest.mark.parametrize("count", [2, 64, 65, 4097])
def test_leaves_in_another_order_or_number_have_another_root(count: int) -> None:
    leaves = LEAVES[: count * 32]
    swapped = leaves[32:64] + leaves[:32] + leaves[64:]
    roots = {root(each) for each in (leaves, swapped, leaves[:-32], leaves + leaves[-32:], leaves + bytes(32))}
    assert len(roots) == 5


@pytest.mark.parametrize("count", [2, 64, 65, 4097])
def test_a_node_is_not_the_hash_of_anything_that_begins_otherwise(count: int) -> None:
    """What is hashed into a node begins with 01; the same without it, as a leaf's form could be, hashes otherwise."""
    steps = path(LEAVES[: count * 32], 0)
    node = climb(leaf(0), steps[:1])
    before, after = steps[0]
    assert node == hashlib.sha256(b"\x01" + before + leaf(0) + after).digest()
    assert node != hashlib.sha256(before + leaf(0) + after).digest()


@pytest.mark.parametrize(("count", "place"), [(0, 0), (1, 1), (1, -1), (65, 65)])
def test_there_is_no_path_where_there_is_no_leaf(count: int, place: int) -> None:
    with pytest.raises(IndexError, match=f"no leaf {place} among {count}"):
        path(LEAVES[: count * 32], place)
