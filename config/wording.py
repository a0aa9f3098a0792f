"""What is said to the operator about a value that does not fit: what was expected, what came."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from pydantic_core import ErrorDetails

SHOWN_CHARACTERS_MAX = 60
ALIKE = 0.75
"""How much of two words must agree before one is offered for the other."""

_SECRETS = ("password", "secret", "token", "organisation")

_URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*:)[^\s]+@")

_KINDS = {
    "string": "text",
    "int": "a whole number",
    "decimal": "a number",
    "bool": "true or false",
    "dict": "keys with values",
    "mapping": "keys with values",
    "model": "keys with values",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "path": "a path",
}


def meant(word: str, known: Iterable[str]) -> str:
    """The known word that is most like this one; nothing when none is."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=ALIKE)), "")


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or what there is to choose from when nothing is near."""
    names = list(known)
    if near := meant(word, names):
        return f"; did you mean {near!r}?"
    if not names:
        return ""
    shown = ", ".join(sorted(names)[:12])
    return f"; expected one of {shown}" + (", …" if len(names) > 12 else "")


def shown(value: Any) -> str:
    """A value of the file for a message: short, and never a whole block."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"'{str(value).lower()}'"
    if isinstance(value, Mapping):
        return "keys with values"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int | Decimal):
        return f"the number {value}"
    text = _URL_PASSWORD.sub(r"\1***@", str(value))
    return repr(text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…")


def explain(error: ErrorDetails, known: Iterable[str] = (), examples: Iterable[Any] = ()) -> str:
    """One finding of pydantic in our words.

    `known`: the keys that could stand where an unknown one does; `examples`: values that would be right.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return f"unknown key{nearest(str(error['loc'][-1]), known)}"
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", error["msg"]))
    example = next(iter(examples), None) if kind == "string_pattern_mismatch" else None
    expected = (
        f"expected text such as {example!r}"
        if example
        else _expected(kind, context) or f"{error['msg'][:1].lower()}{error['msg'][1:]}"
    )
    if any(secret in str(step) for step in error["loc"] for secret in _SECRETS):
        return expected
    got = error["input"]
    hint = ""
    if kind in ("literal_error", "enum") and isinstance(got, str):
        near = meant(got, _choices(context))
        hint = f"; did you mean {near!r}?" if near else ""
    if kind == "string_type" and isinstance(got, bool | int | Decimal):
        hint = "; put it in quotes"
    return f"{expected}, got {shown(got)}{hint}"


def _expected(kind: str, context: Mapping[str, Any]) -> str:
    if kind in ("literal_error", "enum"):
        return f"expected {context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"expected text like {context['pattern']}"
    if kind == "string_too_short":
        return "expected some text"
    if kind == "string_too_long":
        return f"expected at most {context['max_length']} characters"
    bounds = {
        "greater_than_equal": "at least {ge}",
        "greater_than": "more than {gt}",
        "less_than_equal": "at most {le}",
        "less_than": "less than {lt}",
    }
    if kind in bounds:
        return f"expected {bounds[kind].format(**context)}"
    named = _KINDS.get(kind.partition("_")[0])
    return f"expected {named}" if named else ""


def _choices(context: Mapping[str, Any]) -> list[str]:
    return [choice.strip(" '") for choice in str(context["expected"]).replace(" or ", ",").split(",")]
