"""A proof: that one transfer stands in a book's journal, for somebody who has neither the book nor our programs.

It leads from the transfer's canonical form over the hashes beside it to the seal of its batch, and from there to the
seal of the day, which the reader must hold from elsewhere. Of other transfers it holds hashes and nothing else. As a
file it is written in one way only: what a person reads in it is made anew from the canonical forms and compared byte
by byte, so nothing in it can say what the hashes do not prove. `scripts/check_proof.py` checks the same without us.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from datetime import date
from itertools import zip_longest
from typing import Any

from core.clock import Instant, to_text
from core.errors import Rejected
from core.ids import TransferId
from core.money import Money, currency
from ledger import day_seal, hash_tree, journal
from ledger.day_seal import DaySeal
from ledger.hash_tree import FAN_OUT, HASH_BYTES
from ledger.journal import Seal
from ledger.transfer import TransferKind

TITLE = "Myntverk transfer proof 1"
"""What the file begins with; another number means another way of writing it."""

Steps = list[tuple[bytes, bytes]]
"""The hashes before and after, level by level up to the root."""

_TEXTS = ("debit", "credit", "currency", "text", "reference", "source")
_KINDS = {kind: str(kind.name).lower() for kind in TransferKind}
_SHOWN_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Proof:
    """A transfer's form, and the two paths that lead from it to the seal of the day."""

    form: bytes
    path: Steps
    """From the transfer's leaf to `seal.root`."""
    seal: Seal
    day_path: Steps
    """From `seal.hash` to `day_root`."""
    day_root: bytes
    day_previous: bytes
    """The hash of the last seal before the day."""
    day: DaySeal

    @property
    def position(self) -> int:
        """Which entry of the batch it is, counted from 0: the path says."""
        return _place(self.path)


def make_proof(
    form: bytes, position: int, leaves: bytes, seal: Seal, book: str, first_seq: int, hashes: bytes, previous: bytes
) -> Proof:
    """Prove the transfer that stands at that position of the batch.

    `leaves` are those of the batch, `book` is the book's name, `hashes` those of all seals of the batch's day from
    batch `first_seq` on, `previous` that of the last seal before them. The proof is checked before it is given away:
    Rejected, as by `check`, when what was read does not fit together, and so was altered; `not_in_batch` or
    `not_in_day` also when there is no such place.
    """
    if not 0 <= position < len(leaves) // HASH_BYTES:
        raise Rejected("not_in_batch", f"batch {seal.seq} has no entry {position}")
    day = day_seal.seal_day(book, day_seal.day_of(seal.posted_time), first_seq, hashes, previous)
    if not day.first_seq <= seal.seq <= day.last_seq:
        raise Rejected("not_in_day", f"{day.day} has batches {day.first_seq} to {day.last_seq}, not {seal.seq}")
    day_path = hash_tree.path(hashes, seal.seq - first_seq)
    proof = Proof(form, hash_tree.path(leaves, position), seal, day_path, hash_tree.root(hashes), previous, day)
    check(proof)
    return proof


def check(proof: Proof, kept_hash: bytes | None = None) -> None:
    """Rejected with the first that does not fit, in the order below.

    `kept_hash` is the day seal's hash as it was kept elsewhere. Without it the proof only fits in itself, as one that
    is made up does too: then compare `proof.day.hash` yourself.
    """
    seal, day = proof.seal, proof.day
    _transfer(proof.form)
    if not day.book.isprintable():
        raise Rejected("not_a_proof", f"the name of the book, {day.book!r}, cannot be shown")
    entries = seal.transfers + seal.events
    _check_path("not_in_batch", "the batch", journal.leaf(proof.form), proof.path, entries, seal.root)
    if hashlib.sha256(_seal_form(seal)).digest() != seal.hash:
        raise Rejected("wrong_batch_hash", f"batch {seal.seq} hashes to something else than {seal.hash.hex()}")
    if day_seal.day_of(seal.posted_time) != day.day:
        posted = to_text(seal.posted_time)
        raise Rejected("wrong_day", f"batch {seal.seq} was posted {posted}, the proof is of {day.day}")
    batches = day.last_seq - day.first_seq + 1
    _check_path("not_in_day", "the day", seal.hash, proof.day_path, batches, proof.day_root)
    if _place(proof.day_path) != seal.seq - day.first_seq:
        raise Rejected("not_in_day", f"batch {seal.seq} stands where batch {day.first_seq + _place(proof.day_path)} is")
    if seal.seq == day.first_seq and seal.previous != proof.day_previous:
        raise Rejected("not_in_day", f"batch {seal.seq} does not continue what the day continues")
    if hashlib.sha256(_day_form(proof)).digest() != day.hash:
        raise Rejected("wrong_day_hash", f"{day.day} hashes to something else than {day.hash.hex()}")
    if kept_hash is not None and kept_hash != day.hash:
        text = f"the proof leads to the day seal {day.hash.hex()}, the one that was kept is {kept_hash.hex()}"
        raise Rejected("another_day_seal", text)


def to_json(proof: Proof) -> bytes:
    """The proof as a file: JSON in UTF-8, one line a field, what a person reads first."""
    seal, day = proof.seal, proof.day
    content = {
        "proof": TITLE,
        **_transfer(proof.form),
        "batch": seal.seq,
        "position": proof.position,
        "posted_time": to_text(seal.posted_time),
        "book": day.book,
        "day": day.day.isoformat(),
        "day_seal": day.hash.hex(),
        "transfer_form": proof.form.hex(),
        "batch_form": _seal_form(seal).hex(),
        "day_form": _day_form(proof).hex(),
        "batch_path": _steps_shown(proof.path),
        "day_path": _steps_shown(proof.day_path),
    }
    return f"{json.dumps(content, ensure_ascii=False, indent=2)}\n".encode()


def parse(data: bytes) -> Proof:
    """Read what `to_json` wrote, byte for byte; what it proves is still to be checked.

    Rejected `not_a_proof`, `unknown_version`, `not_a_transfer`, `unknown_currency`, or `not_what_is_proven` with the
    first line that says anything else than the canonical forms do.
    """
    try:
        content = json.loads(data.decode())
        if content["proof"] != TITLE:
            raise Rejected("unknown_version", f"expected {TITLE!r}, got {content['proof']!r:.200}")
        proof = _read(content)
        written = to_json(proof)
    except KeyError as missing:
        raise Rejected("not_a_proof", f"it has no {missing}") from None
    except (ValueError, TypeError, OverflowError, RecursionError, struct.error) as problem:
        raise Rejected("not_a_proof", f"expected a proof as it was written, got something else: {problem}") from None
    if written != data:
        raise Rejected("not_what_is_proven", _first_difference(data, written))
    return proof


def _read(content: Any) -> Proof:
    """What the canonical forms and paths say; any error when they are none."""
    batch, day = bytes.fromhex(content["batch_form"]), bytes.fromhex(content["day_form"])
    version, number, seq, posted_time, transfers, events, root, previous = journal.SEAL_FIXED.unpack(batch)
    day_version, day_text, first_seq, last_seq, day_root, day_previous = day_seal.FIXED.unpack_from(day)
    if (version, day_version) != (journal.SEAL_VERSION, day_seal.VERSION):
        expected = f"{journal.SEAL_VERSION.decode()} and {day_seal.VERSION.decode()}"
        raise Rejected("unknown_version", f"expected forms of {expected}, got {version!r} and {day_version!r}")
    book = day[day_seal.FIXED.size :].decode()
    batch_hash, day_hash = hashlib.sha256(batch).digest(), hashlib.sha256(day).digest()
    return Proof(
        bytes.fromhex(content["transfer_form"]),
        _steps_read(content["batch_path"]),
        Seal(number, seq, Instant(posted_time), transfers, events, root, previous, batch_hash),
        _steps_read(content["day_path"]),
        day_root,
        day_previous,
        DaySeal(book, date.fromisoformat(day_text.decode()), first_seq, last_seq, day_hash),
    )


def _transfer(form: bytes) -> dict[str, Any]:
    """A transfer's form as people read it; Rejected `not_a_transfer` when it is none or hides something."""
    try:
        tag, id, cause, units, effective_time, kind = journal.FIXED.unpack_from(form)
        texts = dict(zip(_TEXTS, form[journal.FIXED.size :].decode().split("\0"), strict=True))
        when = to_text(Instant(effective_time))
    except (ValueError, OverflowError, struct.error):
        raise Rejected("not_a_transfer", "its form cannot be read as that of a transfer") from None
    if tag != b"T" or kind >= 2 * max(TransferKind):
        raise Rejected("not_a_transfer", f"its form begins with {tag!r} and is of kind {kind}: not a transfer's")
    if not "".join(texts.values()).isprintable():
        raise Rejected("not_a_transfer", "it holds characters that cannot be shown, and might show others wrongly")
    amount = Money(units, currency(texts["currency"])).amount
    return {
        "id": TransferId(id).hex(),
        "debit": texts["debit"],
        "credit": texts["credit"],
        "amount": f"{amount:f}",
        "currency": texts["currency"],
        "effective_time": when,
        "text": texts["text"],
        "reference": texts["reference"],
        "source": texts["source"],
        "kind": [name for flag, name in _KINDS.items() if kind & flag],
        "cause": None if cause == journal.NO_CAUSE else cause.hex(),
    }


def _seal_form(seal: Seal) -> bytes:
    return journal.seal_form(
        seal.book, seal.seq, seal.posted_time, seal.transfers, seal.events, seal.root, seal.previous
    )


def _day_form(proof: Proof) -> bytes:
    day = proof.day
    return day_seal.day_form(day.book, day.day, day.first_seq, day.last_seq, proof.day_root, proof.day_previous)


def _check_path(code: str, whole: str, leaf: bytes, path: Steps, count: int, root: bytes) -> None:
    """Rejected unless the path has the one shape that its place among so many leaves gives it, and leads to the root.

    The shape is what shows that the tree holds as many leaves as it says, all equally deep: nothing hangs below one.
    """
    place, width, shape = _place(path), count, []
    while width > 1:
        siblings = min(FAN_OUT, width - place // FAN_OUT * FAN_OUT)
        shape.append((place % FAN_OUT * HASH_BYTES, (siblings - place % FAN_OUT - 1) * HASH_BYTES))
        place, width = place // FAN_OUT, -(-width // FAN_OUT)
    if count < 1 or [(len(before), len(after)) for before, after in path] != shape:
        raise Rejected(code, f"the path is not one in a tree of {count}, which {whole} is")
    if hash_tree.climb(leaf, path) != root:
        raise Rejected(code, f"the hash {leaf.hex()} and its path do not lead to the root of {whole}, {root.hex()}")


def _place(path: Steps) -> int:
    return sum(len(before) // HASH_BYTES * FAN_OUT**level for level, (before, _) in enumerate(path))


def _steps_shown(path: Steps) -> list[list[str]]:
    return [[before.hex(), after.hex()] for before, after in path]


def _steps_read(shown: Any) -> Steps:
    return [(bytes.fromhex(before), bytes.fromhex(after)) for before, after in shown]


def _first_difference(data: bytes, written: bytes) -> str:
    """The first line of the file that does not say what is proven; both are UTF-8."""
    pairs = zip_longest(data.decode().split("\n"), written.decode().split("\n"))
    number, shown, proven = next((number, *pair) for number, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    shown, proven = (repr(each)[:_SHOWN_CHARACTERS_MAX] if each is not None else "nothing" for each in (shown, proven))
    return f"line {number} says {shown}, what is proven is {proven}"
