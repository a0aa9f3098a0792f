"""Check a Myntverk proof of a transfer with nothing but this file and Python, 3.10 or newer.

    python check_proof.py proof.json DAYSEALHASH

DAYSEALHASH is the hash of that day's seal, 64 hexadecimal digits, as it was kept where the book's keeper could not
change it. Prints what is proven; ends with 1 and a reason when anything does not fit. From the transfer's form and the
hashes beside it the whole file is made anew and must be the same to the byte, so nothing in it can say what is not
proven. docs/reference/proofs.md describes the forms.
"""

import hashlib
import json
import struct
import sys
from datetime import datetime, timedelta
from decimal import Decimal

NAMES = "proof id debit credit amount currency effective_time text reference source kind cause batch position "
NAMES += "posted_time book day day_seal transfer_form batch_form day_form batch_path day_path"


def climb(form, path, count):
    """From one of `count` forms to the root: the root, or nothing if the path is not one in such a tree, and which."""
    node, place = hashlib.sha256(form).digest(), sum(len(step[0]) // 32 * 64**level for level, step in enumerate(path))
    for level, (before, after) in enumerate(path, 1):
        siblings = min(64, count - place // 64**level * 64) - 1
        fits = count > 1 and len(before) % 32 == 0 and len(before + after) == siblings * 32
        count = -(-count // 64) if fits else 0
        node = hashlib.sha256(b"\1" + before + node + after).digest()
    return node if count == 1 else b"", place


def check(data, kept):
    """What the file proves, in words; an error when it does not."""
    given = json.loads(data)
    transfer, batch, day = (bytes.fromhex(given[f"{name}_form"]) for name in ("transfer", "batch", "day"))
    paths = [[[bytes.fromhex(side) for side in step] for step in given[f"{name}_path"]] for name in ("batch", "day")]
    id, cause, units, effective, kind = struct.unpack_from(">x16s16sqqB", transfer)
    debit, credit, currency, text, reference, source = texts = transfer[50:].decode().split("\0")
    seq, posted, transfers, events, previous = struct.unpack(">16xqqqq32x32s", batch)
    first, last, day_previous = struct.unpack_from(">18xqq32x32s", day)
    book = day[98:].decode()
    times = (datetime.fromisoformat("1970-01-01") + timedelta(microseconds=each) for each in (effective, posted))
    worked, posted = (f"{time.isoformat(timespec='microseconds')}Z" for time in times)
    amount = format(Decimal(units).scaleb(-6 if currency in ("ISK", "JPY") else -8), "f")
    kinds = [name for bit, name in enumerate(("linked", "reversal", "capture", "last_capture")) if kind >> bit & 1]
    root, position = climb(transfer, paths[0], transfers + events)
    batch = b"mv-seal2" + batch[8:48] + root + previous
    root, place = climb(batch, paths[1], last - first + 1)
    day = b"mv-day-1" + posted[:10].encode() + day[18:34] + root + (day_previous if place else previous) + book.encode()
    seal = hashlib.sha256(day).hexdigest()
    shown = ["Myntverk transfer proof 1", id, debit, credit, amount, currency, worked, text, reference, source, kinds]
    shown += [cause if any(cause) else None, seq, position, posted, book, posted[:10], seal]
    file = dict(zip(NAMES.split(), [*shown, b"T" + transfer[1:], batch, day, *paths], strict=True))
    written = json.dumps(file, ensure_ascii=False, indent=2, default=bytes.hex) + "\n"
    wrong = [line.strip() for line in data.decode().split("\n") if line not in written.split("\n")]
    if written.encode() != data or seq != first + place or kind > 15 or not "".join([book, *texts]).isprintable():
        raise ValueError(f"the file says what is not proven: {(wrong or ['its forms do not fit together'])[0][:200]}")
    if seal != kept.lower():
        raise ValueError(f"it leads to the day seal {seal}, which is not the one that was kept")
    return f"""Proven: {debit} paid {credit} {amount} {currency} for what was done at {worked}.
Posted at {posted} in the book {book}, batch {seq}, entry {position}, as {id.hex()}.
Text {text!r}, reference {reference!r}, asked for by {source!r}.
Kind: {", ".join(kinds) or "plain"}; cause: {cause.hex() if any(cause) else "none"}.
Day seal of {posted[:10]}, as it was kept: {seal}"""


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: check_proof.py PROOF_FILE DAY_SEAL")
    try:
        sys.stdout.reconfigure(errors="backslashreplace")
        with open(sys.argv[1], "rb") as file:
            print(check(file.read(), sys.argv[2]))
    except Exception as problem:
        sys.exit(f"Not proven: {type(problem).__name__}: {problem}")
