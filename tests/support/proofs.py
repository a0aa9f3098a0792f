"""A day that was sealed, to prove transfers of; and the third party's program, to check them with."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from core.clock import Instant
from core.errors import Rejected
from core.ids import derived_id
from ledger import journal
from ledger.day_seal import span
from ledger.journal import Seal
from ledger.proof import Proof, check, make_proof, parse, to_json

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_proof.py"
TODAY = date(2026, 11, 22)
BEGIN, END = span(TODAY)
BEFORE = hashlib.sha256(b"the last seal before the day").digest()


def transfer(number: int = 0, text: str = "moved a pallet", currency: str = "SEK", **fixed: Any) -> bytes:
    """A transfer's form; each number pays another account for another reason."""
    fields: dict[str, Any] = {
        "transfer_id": derived_id("transfer", str(number)),
        "cause": None,
        "units": 1_250_000_000 + number,
        "effective_time": BEGIN - 5_000_001 + number,
        "kind": 0,
    }
    texts = (f"press-{number}", f"agv-{number}", currency, text, f"order {number}", f"agreement:transport-{number}")
    return journal.transfer_form(**fields | fixed, texts=texts)


EVENT = journal.event_form(7, "frozen", '{"account":"agv-7","state":"frozen"}')


@dataclass(frozen=True)
class SealedDay:
    """Every batch of a day: the leaves and the seal of each."""

    leaves: list[bytes]
    seals: list[Seal]
    first_seq: int
    previous: bytes

    @property
    def hashes(self) -> bytes:
        return b"".join(seal.hash for seal in self.seals)

    def prove(self, form: bytes, batch: int, position: int, book: str = "main") -> Proof:
        leaves, seal = self.leaves[batch], self.seals[batch]
        return make_proof(form, position, leaves, seal, book, self.first_seq, self.hashes, self.previous)


def sealed_day(*batches: list[bytes], first_seq: int = 41, previous: bytes = BEFORE) -> SealedDay:
    """A day whose batches are given by the forms of their entries; the last is posted in the day's last microsecond."""
    day = SealedDay([], [], first_seq, previous)
    for place, forms in enumerate(batches):
        leaves = b"".join(map(journal.leaf, forms))
        events = sum(form[:1] == b"E" for form in forms)
        at = Instant(END - len(batches) + place)
        counts = len(forms) - events, events
        seal = journal.seal(3, first_seq + place, at, previous, leaves, *counts)
        day.leaves.append(leaves)
        day.seals.append(seal)
        previous = seal.hash
    return day


FORM = transfer(1)
SMALL = sealed_day([transfer(0)], [EVENT, FORM, transfer(2)], [transfer(3)])
PROOF = SMALL.prove(FORM, 1, 1)
FILE = to_json(PROOF)
KEPT = PROOF.day.hash
SHOWN: dict[str, Any] = json.loads(FILE)
"""The file's content."""

LARGE_BATCH = [transfer(number) for number in range(5000)]
LARGE = sealed_day(*[[EVENT]] * 4096, LARGE_BATCH)

_spec = importlib.util.spec_from_file_location("check_proof", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
script_check: Callable[[bytes, str], str] = _module.check
"""The third party's check without the start of a program, where it is asked tens of thousands of times."""


def run_script(path: Path, data: bytes, kept: str) -> subprocess.CompletedProcess[str]:
    """The third party's program as they run it: without our packages or any other, in an empty folder."""
    (path / "proof.json").write_bytes(data)
    command = [sys.executable, "-I", "-S", str(SCRIPT), "proof.json", kept]
    return subprocess.run(command, cwd=path, capture_output=True, encoding="utf-8", env={}, timeout=60, check=False)


def is_refused_by_us(data: bytes, kept: bytes = KEPT) -> bool:
    try:
        check(parse(data), kept)
    except Rejected:
        return True
    return False


def is_refused_by_script(data: bytes, kept: bytes = KEPT) -> bool:
    try:
        script_check(data, kept.hex())
    except Exception:
        return True
    return False


def assert_both_accept(proof: Proof) -> None:
    data = to_json(proof)
    assert parse(data) == proof
    check(parse(data), proof.day.hash)
    assert script_check(data, proof.day.hash.hex())
