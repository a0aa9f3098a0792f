"""A proof convinces who has only a day's seal, and nothing that does not fit together does."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proofs import (
    BEFORE,
    BEGIN,
    END,
    EVENT,
    FILE,
    FORM,
    KEPT,
    LARGE,
    LARGE_BATCH,
    PROOF,
    SMALL,
    TODAY,
    assert_both_accept,
    is_refused_by_script,
    run_script,
    sealed_day,
    transfer,
)

from core.clock import Instant
from core.errors import Rejected
from core.money import CURRENCIES, TRANSFER_UNITS_MAX
from ledger import hash_tree, journal
from ledger.day_seal import day_form, seal_day
from ledger.journal import GENESIS
from ledger.proof import Proof, check, make_proof, to_json


def test_another_kept_seal_is_refused_by_both(tmp_path: Path) -> None:
    other = hashlib.sha256(b"another day").digest()
    with pytest.raises(Rejected) as refusal:
        check(PROOF, other)
    assert refusal.value.code == "another_day_seal"
    run = run_script(tmp_path, FILE, other.hex())
    assert (run.returncode, run.stdout) == (1, "")
    assert f"it leads to the day seal {KEPT.hex()}" in run.stderr


def test_a_book_written_anew_leads_to_another_day_seal() -> None:
    """Whoever alters a transfer can make everything fit again, except the seal that somebody else kept."""
    altered = transfer(1, units=9_900_000_000)
    forged = sealed_day([transfer(0)], [EVENT, altered, transfer(2)], [transfer(3)]).prove(altered, 1, 1)
    check(forged)
    with pytest.raises(Rejected) as refusal:
        check(forged, KEPT)
    assert refusal.value.code == "another_day_seal"
    assert is_refused_by_script(to_json(forged))


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)
IDS = st.binary(min_size=16, max_size=16)


def forms() -> st.SearchStrategy[bytes]:
    """Any transfer that the journal could hold."""
    texts = st.tuples(NAMES, NAMES, st.sampled_from(list(CURRENCIES)), NAMES, NAMES, NAMES)
    units, times, kinds = st.integers(1, TRANSFER_UNITS_MAX), st.integers(-(10**15), 10**17), st.integers(0, 15)
    return st.builds(journal.transfer_form, IDS, st.none() | IDS, units, times, kinds, texts)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_transfer_of_any_batch_of_any_day_can_be_proven(data: st.DataObject) -> None:
    batches, entries = data.draw(st.integers(1, 130)), data.draw(st.integers(1, 200))
    batch, position = data.draw(st.integers(0, batches - 1)), data.draw(st.integers(0, entries - 1))
    form = journal.transfer_form(
        data.draw(st.binary(min_size=16, max_size=16)),
        data.draw(st.none() | st.binary(min_size=16, max_size=16)),
        data.draw(st.integers(1, TRANSFER_UNITS_MAX)),
        data.draw(st.integers(-(10**15), 10**17)),
        data.draw(st.integers(0, 15)),
        (
            data.draw(NAMES),
            data.draw(NAMES),
            data.draw(st.sampled_from(list(CURRENCIES))),
            *data.draw(st.tuples(*[NAMES] * 3)),
        ),
    )
    of_batch = [EVENT] * entries
    of_batch[position] = form
    days_batches = [[EVENT]] * batches
    days_batches[batch] = of_batch
    proof = sealed_day(*days_batches, first_seq=data.draw(st.integers(1, 10**9))).prove(form, batch, position)
    assert proof.position == position
    assert_both_accept(proof)


@pytest.mark.parametrize("position", [0, 63, 64, 4095, 4096, 4999])
def test_the_first_and_last_places_of_a_large_batch_can_be_proven(position: int) -> None:
    assert_both_accept(LARGE.prove(LARGE_BATCH[position], 4096, position))


def test_the_only_transfer_of_the_only_batch_of_the_first_day_can_be_proven() -> None:
    day = sealed_day([FORM], first_seq=1, previous=GENESIS)
    proof = day.prove(FORM, 0, 0)
    assert (proof.path, proof.day_path) == ([], [])
    assert proof.seal.root == journal.leaf(FORM)
    assert_both_accept(proof)


def test_a_proof_holds_nothing_of_other_transfers_but_their_hashes() -> None:
    others = [transfer(number, text=f"a secret of {number}") for number in (5, 6, 7, 8)]
    day = sealed_day(others[:1], [others[1], FORM, others[2]], others[3:])
    file = to_json(day.prove(FORM, 1, 1)).decode()
    assert journal.leaf(others[1]).hex() in file
    for number, form in zip((5, 6, 7, 8), others, strict=True):
        assert form.hex() not in file
        for part in (f"press-{number}", f"agv-{number}", f"a secret of {number}", f"order {number}"):
            assert part not in file
            assert part.encode().hex() not in file
        assert form[1:17].hex() not in file
        assert form[33:41].hex() not in file


@pytest.mark.parametrize("code", CURRENCIES)
def test_every_currency_reads_the_same_to_both(code: str) -> None:
    form = transfer(1, currency=code, units=1_234_567_890)
    proof = sealed_day([form]).prove(form, 0, 0)
    assert_both_accept(proof)
    scale = CURRENCIES[code].scale
    assert json.loads(to_json(proof))["amount"] == f"{1_234_567_890 // 10**scale}.{1_234_567_890 % 10**scale:0{scale}d}"


def by_a_root(leaf: bytes, path: list[tuple[bytes, bytes]], transfers: int) -> Proof:
    """A proof that does lead to its root, in a batch that says it has so many entries."""
    seal = journal.seal(3, 41, Instant(END - 1), BEFORE, hash_tree.climb(leaf, path), transfers, 0)
    return Proof(FORM, path, seal, [], seal.hash, BEFORE, seal_day("main", TODAY, 41, seal.hash, BEFORE))


OTHER, LEAF = journal.leaf(transfer(2)), journal.leaf(FORM)


def sealed_as(proof: Proof, **changes: Any) -> Proof:
    """The proof under a day seal that says of the day what is given, and really hashes that."""
    day = replace(proof.day, **changes)
    form = day_form(day.book, day.day, day.first_seq, day.last_seq, proof.day_root, proof.day_previous)
    return replace(proof, day=replace(day, hash=hashlib.sha256(form).digest()))


def batch_sealed_as(transfers: int = 1, events: int = 0, at: int = END - 1, previous: bytes = BEFORE) -> Proof:
    """A proof of a batch and a day of one, under a seal that says of them what is given."""
    seal = journal.seal(3, 41, Instant(at), previous, journal.leaf(FORM), transfers, events)
    day = seal_day("main", TODAY, 41, seal.hash, BEFORE)
    return Proof(FORM, [], seal, [], seal.hash, BEFORE, day)


MISFITS = {
    "another leaf": (replace(PROOF, form=transfer(9)), "not_in_batch"),
    "a path of another leaf": (replace(PROOF, path=hash_tree.path(SMALL.leaves[1], 0)), "not_in_batch"),
    "no path": (replace(PROOF, path=[]), "not_in_batch"),
    "a step more": (replace(PROOF, path=[*PROOF.path, (b"", b"")]), "not_in_batch"),
    "half a hash": (replace(PROOF, path=[(PROOF.path[0][0][:31], PROOF.path[0][1])]), "not_in_batch"),
    "below a leaf": (by_a_root(LEAF, [(b"", OTHER), (OTHER, b"")], 2), "not_in_batch"),
    "below the only leaf": (by_a_root(LEAF, [(b"", b"")], 1), "not_in_batch"),
    "fewer siblings than entries": (by_a_root(LEAF, [(OTHER, b"")], 3), "not_in_batch"),
    "more siblings than entries": (by_a_root(LEAF, [(OTHER, OTHER)], 2), "not_in_batch"),
    "out of step": (by_a_root(LEAF, [(OTHER[:31], OTHER + OTHER[:1])], 3), "not_in_batch"),
    "more entries than leaves": (batch_sealed_as(transfers=2), "not_in_batch"),
    "no entries": (batch_sealed_as(transfers=0), "not_in_batch"),
    "the day before": (batch_sealed_as(at=BEGIN - 1), "wrong_day"),
    "the day after": (batch_sealed_as(at=END), "wrong_day"),
    "a path of another batch": (replace(PROOF, day_path=hash_tree.path(SMALL.hashes, 0)), "not_in_day"),
    "more batches than seals": (sealed_as(batch_sealed_as(), last_seq=42), "not_in_day"),
    "the place of another batch": (sealed_as(PROOF, first_seq=40, last_seq=42), "not_in_day"),
    "no batches": (sealed_as(batch_sealed_as(), last_seq=40), "not_in_day"),
    "not after the day before": (batch_sealed_as(previous=GENESIS), "not_in_day"),
    "another hash of the day": (replace(PROOF, day=replace(PROOF.day, hash=BEFORE)), "wrong_day_hash"),
    "another book": (replace(PROOF, day=replace(PROOF.day, book="other")), "wrong_day_hash"),
    "a book that cannot be shown": (sealed_as(PROOF, book="ma\u202ein"), "not_a_proof"),
}


@pytest.mark.parametrize(("proof", "code"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_refused_by_both_even_under_a_seal_that_was_kept(proof: Proof, code: str) -> None:
    with pytest.raises(Rejected) as refusal:
        check(proof, proof.day.hash)
    assert refusal.value.code == code
    data = to_json(proof)
    assert is_refused_by_script(data, proof.day.hash)
    assert is_refused_by_script(data, hashlib.sha256(bytes.fromhex(json.loads(data)["day_form"])).digest())


def test_the_day_that_is_shown_is_the_one_that_was_sealed() -> None:
    posted_the_day_after = batch_sealed_as(at=END)
    file = to_json(posted_the_day_after).replace(b'"day": "2026-11-22"', b'"day": "2026-11-23"')
    assert is_refused_by_script(file, posted_the_day_after.day.hash)


def test_the_misfits_fit_but_for_what_is_wrong_with_them() -> None:
    for proof in (
        batch_sealed_as(),
        by_a_root(LEAF, [(OTHER, OTHER)], 3),
        sealed_as(PROOF),
        sealed_as(batch_sealed_as()),
        sealed_as(PROOF, book="other"),
    ):
        assert_both_accept(proof)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"form": transfer(9)}, "not_in_batch"),
        ({"form": EVENT, "position": 0}, "not_a_transfer"),
        ({"position": 0}, "not_in_batch"),
        ({"position": 3}, "not_in_batch"),
        ({"position": -1}, "not_in_batch"),
        ({"leaves": SMALL.leaves[0]}, "not_in_batch"),
        ({"leaves": SMALL.leaves[1][32:]}, "not_in_batch"),
        ({"seal": replace(SMALL.seals[1], previous=GENESIS)}, "wrong_batch_hash"),
        ({"first_seq": 40}, "not_in_day"),
        ({"first_seq": 43}, "not_in_day"),
        ({"first_seq": 1}, "not_in_day"),
        ({"hashes": SMALL.hashes[:32]}, "not_in_day"),
        ({"hashes": SMALL.hashes[:32] + GENESIS + SMALL.hashes[64:]}, "not_in_day"),
        ({"hashes": b""}, "nothing_sealed"),
        ({"hashes": SMALL.hashes[:-1]}, "not_hashes"),
        ({"previous": b""}, "not_hashes"),
    ],
)
def test_no_proof_is_made_of_what_does_not_fit_together(changes: dict[str, Any], code: str) -> None:
    read: dict[str, Any] = {
        "form": FORM,
        "position": 1,
        "leaves": SMALL.leaves[1],
        "seal": SMALL.seals[1],
        "book": "main",
        "first_seq": 41,
        "hashes": SMALL.hashes,
        "previous": BEFORE,
    }
    assert make_proof(**read) == PROOF
    with pytest.raises(Rejected) as refusal:
        make_proof(**read | changes)
    assert refusal.value.code == code
