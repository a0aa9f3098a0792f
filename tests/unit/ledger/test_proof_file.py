"""A proof as a file: every bit of it counts, for our check and for the third party's program."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proofs import (
    FILE,
    FORM,
    KEPT,
    LARGE,
    LARGE_BATCH,
    PROOF,
    SCRIPT,
    SHOWN,
    assert_both_accept,
    is_refused_by_script,
    is_refused_by_us,
    run_script,
    script_check,
    sealed_day,
    transfer,
)

from core.errors import Rejected
from core.ids import derived_id
from ledger import day_seal, journal, proof
from ledger.day_seal import to_line
from ledger.proof import check, parse, to_json
from ledger.transfer import TransferKind


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def edited(**changes: Any) -> bytes:
    """The file with other content, written as we write it."""
    return f"{json.dumps(SHOWN | changes, ensure_ascii=False, indent=2)}\n".encode()


def test_the_third_party_reads_what_was_proven(tmp_path: Path) -> None:
    run = run_script(tmp_path, FILE, KEPT.hex())
    assert (run.returncode, run.stderr) == (0, "")
    assert "press-1 paid agv-1 12.50000001 SEK" in run.stdout
    for said in (
        "2026-11-21T23:59:55.000000Z",
        "2026-11-22T23:59:59.999998Z",
        "book main",
        "moved a pallet",
        "order 1",
    ):
        assert said in run.stdout
    assert run.stdout.endswith(f"{KEPT.hex()}\n")


def test_a_person_reads_the_transfer_beside_its_form() -> None:
    assert {key: SHOWN[key] for key in list(SHOWN)[:18]} == {
        "proof": "Myntverk transfer proof 1",
        "id": derived_id("transfer", "1").hex(),
        "debit": "press-1",
        "credit": "agv-1",
        "amount": "12.50000001",
        "currency": "SEK",
        "effective_time": "2026-11-21T23:59:55.000000Z",
        "text": "moved a pallet",
        "reference": "order 1",
        "source": "agreement:transport-1",
        "kind": [],
        "cause": None,
        "batch": 42,
        "position": 1,
        "posted_time": "2026-11-22T23:59:59.999998Z",
        "book": "main",
        "day": "2026-11-22",
        "day_seal": KEPT.hex(),
    }
    assert bytes.fromhex(SHOWN["transfer_form"]) == FORM


@pytest.mark.parametrize("kept", ["", "hello", KEPT.hex()[:-1], KEPT.hex() + "00"])
def test_half_a_kept_seal_is_refused(kept: str, tmp_path: Path) -> None:
    assert run_script(tmp_path, FILE, kept).returncode == 1


def test_every_single_bit_of_the_file_counts_for_us() -> None:
    assert [bit for bit in range(len(FILE) * 8) if not is_refused_by_us(flipped(FILE, bit))] == []


def test_every_single_bit_of_the_file_counts_for_the_third_party() -> None:
    assert [bit for bit in range(len(FILE) * 8) if not is_refused_by_script(flipped(FILE, bit))] == []


@given(st.integers(0, len(FILE) * 8 - 1))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_program_itself_ends_with_1_and_a_reason_for_a_flipped_bit(tmp_path: Path, bit: int) -> None:
    run = run_script(tmp_path, flipped(FILE, bit), KEPT.hex())
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("Not proven: ")
    assert "Traceback" not in run.stderr


FORM_SHOWN = SHOWN["transfer_form"]
NOT_WHAT_IS_PROVEN = {
    "another amount": edited(amount="99.50000001"),
    "another payer": edited(debit="press-2"),
    "another id": edited(id="00" * 16),
    "another time": edited(effective_time="2026-11-21T23:59:55.000001Z"),
    "the same time, written otherwise": edited(effective_time="2026-11-21T23:59:55Z"),
    "the same amount, written otherwise": edited(amount="12.500000010"),
    "another kind": edited(kind=["reversal"]),
    "a cause": edited(cause="00" * 16),
    "another batch": edited(batch=43),
    "a batch that is no number": edited(batch=42.0),
    "true for one": edited(position=True),
    "another book": edited(book="other"),
    "another day": edited(day="2026-11-23"),
    "another day seal": edited(day_seal="00" * 32),
    "an unknown key": edited(note="paid in full"),
    "capital digits": FILE.replace(KEPT.hex().encode(), KEPT.hex().upper().encode()),
    "a capital form": edited(transfer_form=SHOWN["transfer_form"].upper()),
    "a form with a space": edited(transfer_form=f"{FORM_SHOWN[:2]} {FORM_SHOWN[2:]}"),
    "a path with a space": edited(day_path=[[side + " " for side in step] for step in SHOWN["day_path"]]),
    "another order": f"{json.dumps(dict(reversed(SHOWN.items())), indent=2)}\n".encode(),
    "the amount twice": FILE.replace(b'  "amount"', b'  "amount": "99.00000000",\n  "amount"'),
    "other white space": FILE.replace(b'": ', b'":  '),
    "other line ends": FILE.replace(b"\n", b"\r\n"),
    "something before it": b" " + FILE,
    "something behind it": FILE + b"\n",
    "no end of line": FILE[:-1],
}
NO_PROOF = {
    "nothing": b"",
    "no object": b"[]",
    "no JSON": b"Dear Sir",
    "no text": b"\xff" + FILE,
    "a byte order mark": b"\xef\xbb\xbf" + FILE,
    "two proofs": FILE + FILE,
    "a deep well": b"[" * 100_000,
    "a long number": edited().replace(b"42", b"4" * 5000),
    "half a form": edited(batch_form=SHOWN["batch_form"][:-2]),
    "a form that is no text": edited(transfer_form=None),
    "a path that is none": edited(batch_path=7),
    "half a step": edited(batch_path=[[""]]),
    "a time out of range": edited(batch_form=f"{SHOWN['batch_form'][:48]}7fffffffffffffff{SHOWN['batch_form'][64:]}"),
    **{f"no {key}": edited().replace(f'"{key}"'.encode(), b'"other"') for key in SHOWN if "_form" in key},
}


@pytest.mark.parametrize("data", NOT_WHAT_IS_PROVEN.values(), ids=NOT_WHAT_IS_PROVEN)
def test_a_file_that_says_more_less_or_something_else_is_refused_by_both(data: bytes) -> None:
    with pytest.raises(Rejected) as refusal:
        parse(data)
    assert refusal.value.code == "not_what_is_proven"
    assert is_refused_by_script(data)


def test_the_refusal_shows_the_line_that_lies(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r'line 6 says .*"99.00000000".* what is proven is .*"12.50000001"'):
        parse(edited(amount="99.00000000"))
    assert '"amount": "99.00000000"' in run_script(tmp_path, edited(amount="99.00000000"), KEPT.hex()).stderr


@pytest.mark.parametrize("data", NO_PROOF.values(), ids=NO_PROOF)
def test_what_is_no_proof_at_all_is_refused_by_both(data: bytes) -> None:
    with pytest.raises(Rejected) as refusal:
        parse(data)
    assert refusal.value.code == "not_a_proof"
    assert is_refused_by_script(data)


@pytest.mark.parametrize(
    ("versions", "shown"),
    [
        (b"mv-seal3mv-day-1", {}),
        (b"mv-seal2mv-day-2", {}),
        (b"mv-seal2mv-day-1", {"proof": "Myntverk transfer proof 2"}),
    ],
)
def test_proofs_and_seals_of_another_version_are_refused_by_both(versions: bytes, shown: dict[str, Any]) -> None:
    data, kept = written_by_a_cheat(FORM, versions, **shown)
    with pytest.raises(Rejected) as refusal:
        parse(data)
    assert refusal.value.code == "unknown_version"
    assert is_refused_by_script(data, kept)


LARGE_PROOF = LARGE.prove(LARGE_BATCH[4000], 4096, 4000)
LARGE_FILE = to_json(LARGE_PROOF)


@given(st.integers(0, len(LARGE_FILE) * 8 - 1))
@settings(max_examples=300, deadline=None)
def test_every_single_bit_of_a_large_proof_counts_too(bit: int) -> None:
    data = flipped(LARGE_FILE, bit)
    assert is_refused_by_us(data)
    assert is_refused_by_script(data)


def test_kind_and_cause_are_shown_in_words() -> None:
    cause = derived_id("the first")
    form = transfer(1, kind=TransferKind.LINKED | TransferKind.REVERSAL, cause=cause)
    proof = sealed_day([form]).prove(form, 0, 0)
    shown = json.loads(to_json(proof))
    assert (shown["kind"], shown["cause"]) == (["linked", "reversal"], cause.hex())
    assert_both_accept(proof)


def test_the_program_says_it_on_a_screen_that_knows_ascii_only(tmp_path: Path) -> None:
    form = transfer(1, text="flyttade pall å, 運ぶ")
    proof = sealed_day([form]).prove(form, 0, 0)
    (tmp_path / "proof.json").write_bytes(to_json(proof))
    command = [sys.executable, str(SCRIPT), "proof.json", proof.day.hash.hex()]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, env={"PYTHONIOENCODING": "ascii"}, check=True)
    assert b"flyttade pall \\xe5, \\u904b\\u3076" in run.stdout


def written_by_a_cheat(form: bytes, versions: bytes = b"mv-seal2mv-day-1", **shown: Any) -> tuple[bytes, bytes]:
    """A file that fits in everything but its form, and the seal of a day that really was sealed over that form."""
    content = json.loads(to_json(sealed_day([FORM]).prove(FORM, 0, 0)))
    of_batch = versions[:8] + bytes.fromhex(content["batch_form"])[8:].replace(journal.leaf(FORM), journal.leaf(form))
    of_day = bytes.fromhex(content["day_form"])
    of_day = versions[8:] + of_day[8:34] + hashlib.sha256(of_batch).digest() + of_day[66:]
    kept = hashlib.sha256(of_day).digest()
    content |= {"transfer_form": form.hex(), "batch_form": of_batch.hex(), "day_form": of_day.hex()}
    content |= {"day_seal": kept.hex(), **shown}
    return f"{json.dumps(content, ensure_ascii=False, indent=2)}\n".encode(), kept


def test_the_cheat_of_the_next_tests_is_good_at_it() -> None:
    data, kept = written_by_a_cheat(transfer(1, units=1), amount="0.00000001")
    check(parse(data), kept)
    assert script_check(data, kept.hex())


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        (b"\x01" + FORM[1:], {}),
        (b"E" + FORM[1:], {}),
        (transfer(1, kind=16), {}),
        (transfer(1, text="paid \u202edet ton"), {"text": "paid \u202edet ton"}),
        (transfer(1, text="two\nlines"), {"text": "two\nlines"}),
        (FORM + b"\0more", {}),
        (FORM[:49], {}),
        (transfer(1, effective_time=2**62), {}),
    ],
    ids=["a node", "an event", "an unknown kind", "turned text", "two lines", "a text more", "half", "no such year"],
)
def test_what_is_no_transfer_or_cannot_be_shown_is_not_proven_even_if_it_was_sealed(
    form: bytes, shown: dict[str, Any]
) -> None:
    with pytest.raises(Rejected) as refusal:
        sealed_day([form]).prove(form, 0, 0)
    assert refusal.value.code == "not_a_transfer"
    data, kept = written_by_a_cheat(form, **shown)
    with pytest.raises(Rejected) as refusal:
        parse(data)
    assert refusal.value.code == "not_a_transfer"
    assert is_refused_by_script(data, kept)


def test_the_program_is_one_short_file_that_needs_the_standard_library_only() -> None:
    source = SCRIPT.read_text()
    tree = ast.parse(source)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names
    assert len(ast.unparse(tree).splitlines()) < 70


PAGE = (SCRIPT.parents[1] / "docs" / "reference" / "proofs.md").read_text()


def test_the_file_the_line_and_the_hashes_on_the_reference_page_are_true() -> None:
    assert f"```json\n{FILE.decode()}```" in PAGE
    assert f"```json\n{to_line(PROOF.day)}\n```" in PAGE
    shown = [line.split()[0] for line in PAGE.splitlines() if line.endswith("  -")]
    assert shown == [journal.leaf(FORM).hex(), PROOF.seal.root.hex(), KEPT.hex()]


def first_cells(heading: str) -> list[str]:
    """What stands in code marks in the first column of the table below that heading, in its order."""
    rows = re.findall(r"^\| (`.*?) \|", PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0], re.MULTILINE)
    return re.findall(r"`(\w+)`", " ".join(rows))


def test_the_reference_page_names_every_field_in_its_place() -> None:
    assert first_cells("The file") == list(SHOWN)


def test_the_reference_page_names_every_refusal_and_no_other() -> None:
    sources = "".join(Path(module.__file__ or "").read_text() for module in (day_seal, proof))
    codes = set(re.findall(r"(?:Rejected|_check_path)\(\s*\"(\w+)\"", sources)) | {"unknown_currency"}
    assert set(first_cells("Why something is refused")) == codes
