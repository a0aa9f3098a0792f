"""`myntverk ledger reconcile`: do this book and those that it pays agree on what they owe each other?"""

from __future__ import annotations

from typing import Any

import typer

from app import wiring
from app.ledger_forms import parcel_json, parcel_line
from app.options import DEMO_FILE, AsJson, DataOption, PlantOption, print_json
from config.plant import load_plant
from core.errors import Misconfigured, Problem, Rejected, Unavailable
from ledger.courier import BookAt
from ledger.reconciliation import Owed, Reconciliation, reconcile


def reconcile_(plant: PlantOption = DEMO_FILE, data: DataOption = None, as_json: AsJson = False) -> None:
    """Compare this book with each that it pays: their accounts for each other add up to what is under way, and to zero
    when nothing is. Exit code 1 when they do not, or when a book cannot be compared."""
    found = load_plant(plant)
    if not found.ledger.pays:
        raise Misconfigured([Problem("names no other book; expected some, such as [hall-2]", path="ledger.pays")])
    books = wiring.books(found, data)
    ours = books[found.ledger.book]
    answers = {book: _compared(ours, books[book]) for book in found.ledger.pays}
    fits = all(isinstance(answer, Reconciliation) and not answer.misfit for answer in answers.values())
    if as_json:
        print_json({"fits": fits, "books": [_json(book, answer) for book, answer in answers.items()]})
    else:
        for book, answer in answers.items():
            _print(ours.name, book, answer)
    if not fits:
        raise typer.Exit(1)


def _compared(ours: BookAt, theirs: BookAt) -> Reconciliation | str:
    """What was found, or why nothing could be: another pair may be compared all the same."""
    try:
        return reconcile(ours, theirs)
    except (Rejected, Unavailable) as problem:
        return str(problem)


def _print(ours: str, theirs: str, answer: Reconciliation | str) -> None:
    if isinstance(answer, str):
        print(f"{ours} and {theirs} CANNOT be compared: {answer}")
        return
    for way in answer.taken_in:
        taken = f"taken in up to entry {way.up_to}" if way.up_to.seq else "nothing was taken in yet"
        print(f"{way.from_book} to {way.to_book}: {taken}, {way.under_way} under way")
    for each in answer.under_way:
        print(f"  {parcel_line(each)}")
    for owed in answer.owed:
        print(f"{ours} and {theirs}: {_sum(owed, ours, theirs)}")
    if answer.misfit:
        print(f"{ours} and {theirs} do NOT fit: {answer.misfit}")


def _sum(owed: Owed, ours: str, theirs: str) -> str:
    total = owed.ours + owed.theirs
    if owed.difference:
        wrong = f"{total}, but {owed.under_way} is under way"
        return f"{owed.ours} for {theirs} and {owed.theirs} for {ours} add up to {wrong}"
    settled = ", which is under way" if total else ""
    return f"{owed.ours} for {theirs} and {owed.theirs} for {ours} add up to {total}{settled}"


def _json(book: str, answer: Reconciliation | str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"book": book, "fits": False, "why": answer}
    return {
        "book": book,
        "fits": not answer.misfit,
        "why": answer.misfit,
        "settled": answer.is_settled,
        "taken_in": [
            {
                "from": way.from_book,
                "to": way.to_book,
                "batch": way.up_to.seq,
                "position": way.up_to.position,
                "under_way": way.under_way,
            }
            for way in answer.taken_in
        ],
        "owed": [
            {
                "currency": owed.ours.currency.code,
                "ours": owed.ours.plain(),
                "theirs": owed.theirs.plain(),
                "under_way": owed.under_way.plain(),
                "difference": owed.difference.plain(),
            }
            for owed in answer.owed
        ],
        "under_way": [parcel_json(each) for each in answer.under_way],
    }
