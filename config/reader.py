"""YAML with the line and column of everything in it; the only importer of yaml.

Only `null`, `true`, `false`, whole numbers and plain decimals are more than text, and keys are always text: of the
traps of YAML 1.1 (`on`, `12:30`, `1_000`, `0x1F`, dates, floats) none is left. Decimals never pass through a float.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, KeysView, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from core.errors import Problem

FILE_BYTES_MAX = 16 * 1024 * 1024
LEVELS_MAX = 32
VALUES_MAX = 1_000_000
"""Values in a file once every `*alias` is written out: what a file may cost, however small it looks."""

Scalar = str | int | Decimal | bool | None
Steps = tuple[str | int, ...]
"""From the root to a value: keys and list positions."""

_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[+-]?(0|[1-9][0-9]{0,27})\.[0-9]{1,28}")
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}


class Place(NamedTuple):
    """Where something stands; both count from 1."""

    line: int = 1
    column: int = 1


@dataclass(slots=True)
class Node:
    """One value of the file.

    `keys` says where each key of a mapping stands, `quote_width` how far in its text begins, `values_count` and
    `levels` how much it is once aliases are written out.
    """

    place: Place
    value: Scalar | dict[str, Node] | list[Node]
    keys: dict[str, Place] = field(default_factory=dict)
    quote_width: int = 0
    values_count: int = 1
    levels: int = 1

    def below(self) -> Collection[Node]:
        """What is in a mapping or a list."""
        if isinstance(self.value, dict):
            return self.value.values()
        return self.value if isinstance(self.value, list) else ()


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, or the first things that keep it from being read. `root` is None when nothing could be."""

    file: str
    root: Node | None
    problems: tuple[Problem, ...] = ()

    @property
    def folder(self) -> Path:
        """What paths in the file are relative to."""
        return Path(self.file).parent

    def node(self, path: Steps) -> Node | None:
        node = self.root
        for step in path:
            node = _child(node, step)
        return node

    def data(self, path: Steps = ()) -> Any:
        """Plain dicts, lists and scalars from there on; None when nothing stands there."""
        node = self.node(path)
        return None if node is None else _plain(node)

    def entries(self, path: Steps) -> KeysView[str]:
        """The keys of the mapping there, in the file's order; none when it is no mapping."""
        node = self.node(path)
        return node.value.keys() if node is not None and isinstance(node.value, dict) else dict[str, Node]().keys()

    def problem(self, message: str, path: Steps, *, at_key: bool = False) -> Problem:
        """A problem at a value, or at its key; at the nearest thing around it when it is not in the file."""
        node, place = self.root, Place()
        for step in path:
            below = _child(node, step)
            if below is None:
                break
            keys = node.keys if node is not None else {}
            place = keys.get(str(step), below.place)
            node = below
        else:
            if node is not None and not at_key:
                place = node.place
        return Problem(message, dotted(path), self.file, place.line, place.column)


def dotted(path: Steps) -> str:
    """`accounts.agv-7.floor`; a position in a list as `pays_from[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read_file(path: Path) -> Document:
    """Read a file; what is wrong with it is in `problems`, nothing is raised."""
    try:
        with path.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        text = f"cannot be read: {getattr(error, 'strerror', None) or error}; expected the plant's YAML file"
        return Document(str(path), None, (Problem(text, file=str(path)),))
    return read(content, str(path))


def read(content: bytes, file: str) -> Document:
    """Read the content of a file that is shown to people as `file`."""
    composer = _Composer(file)
    try:
        root = composer.compose(content)
    except _Unreadable as unreadable:
        return Document(file, None, (*composer.problems, unreadable.problem))
    return Document(file, root, tuple(composer.problems))


def _child(node: Node | None, step: str | int) -> Node | None:
    if node is None:
        return None
    if isinstance(node.value, dict) and isinstance(step, str):
        return node.value.get(step)
    if isinstance(node.value, list) and isinstance(step, int) and 0 <= step < len(node.value):
        return node.value[step]
    return None


def _plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: _plain(below) for key, below in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(below) for below in node.value]
    return node.value


class _Unreadable(Exception):
    """Reading cannot go on."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _Composer:
    """Builds nodes from the parser's events; depth and size are bounded before anything is expanded."""

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._anchors: dict[str, Node | None] = {}
        self._events: Iterator[Any] = iter(())

    def compose(self, content: bytes) -> Node:
        text = self._decode(content)
        try:
            self._events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            return self._document()
        except yaml.reader.ReaderError as error:
            wrong = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
            raise self._unreadable(f"{error.reason}", _place_at(text, wrong.start() if wrong else 0)) from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = Place(mark.line + 1, mark.column + 1) if mark else Place()
            raise self._unreadable(_explain(error, text, place), place) from None

    def _document(self) -> Node:
        next(self._events)  # the stream's start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise self._unreadable("is empty; expected plant:, accounts:, machines: and so on", Place())
        root = self._node(next(self._events), 0)
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._unreadable("a second YAML document starts here; expected one per file", _place(event))
        if not isinstance(root.value, dict):
            raise self._unreadable("expected keys such as plant:, accounts: and machines:", root.place)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        place = _place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event.anchor, place)
        if depth > LEVELS_MAX:
            raise self._unreadable(f"nested deeper than {LEVELS_MAX} levels", place)
        if event.tag is not None:
            self._add(f"tags such as {event.tag!r} mean nothing here; expected a plain value", place)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            plain = not event.style
            node = Node(place, _scalar(event.value) if plain else event.value, quote_width=0 if plain else 1)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(place, depth)
        else:
            node = self._mapping(place, depth)
        for below in node.below():
            node.values_count += below.values_count
            node.levels = max(node.levels, below.levels + 1)
        if node.levels > LEVELS_MAX:
            raise self._unreadable(f"nested deeper than {LEVELS_MAX} levels once its aliases are written out", place)
        if node.values_count > VALUES_MAX:
            raise self._unreadable(f"more than {VALUES_MAX} values once its aliases are written out", place)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _sequence(self, place: Place, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Node(place, items)

    def _mapping(self, place: Place, depth: int) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key_place = _place(event)
            is_text = isinstance(event, yaml.ScalarEvent)
            if not is_text:
                noted = len(self.problems)
                self._node(event, depth + 1)
                del self.problems[noted:]  # of a key that cannot be, one thing is said
                self._add("expected a key that is plain text; braces and brackets in text need quotes", key_place)
            key = event.value if is_text else ""
            value = self._node(next(self._events), depth + 1)
            if not is_text:
                continue
            if key in values:
                self._add(f"{key!r} stands here a second time; the first is on line {keys[key].line}", key_place)
                continue
            values[key], keys[key] = value, key_place
        return Node(place, values, keys)

    def _aliased(self, anchor: str | None, place: Place) -> Node:
        if anchor not in self._anchors:
            raise self._unreadable(
                f"*{anchor} stands before any &{anchor}; text that begins with * needs quotes", place
            )
        node = self._anchors[anchor]
        if node is None:
            raise self._unreadable(f"*{anchor} stands inside &{anchor} itself", place)
        return node

    def _decode(self, content: bytes) -> str:
        if len(content) > FILE_BYTES_MAX:
            raise self._unreadable(f"is larger than {FILE_BYTES_MAX} bytes", Place())
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = content[: error.start]
            place = Place(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
            raise self._unreadable("is not UTF-8 text; save the file as UTF-8", place) from None

    def _add(self, message: str, place: Place) -> None:
        self.problems.append(Problem(message, file=self._file, line=place.line, column=place.column))

    def _unreadable(self, message: str, place: Place) -> _Unreadable:
        return _Unreadable(Problem(message, file=self._file, line=place.line, column=place.column))


def _scalar(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return Decimal(text) if _DECIMAL.fullmatch(text) else text


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _place_at(text: str, position: int) -> Place:
    before = text[:position]
    return Place(before.count("\n") + 1, position - before.rfind("\n"))


def _explain(error: yaml.MarkedYAMLError, text: str, place: Place) -> str:
    """The parser's words, and what usually helps."""
    lines: Sequence[str] = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    at = line[place.column - 1 : place.column]
    hint = ""
    if "\t" in line[: len(line) - len(line.lstrip())] or at == "\t":
        hint = "; indent with spaces, not with tabs"
    elif at in {"%", "@", "`"}:
        hint = f"; text that begins with {at} needs quotes"
    elif "mapping values are not allowed" in str(error.problem):
        hint = "; is this line indented like its neighbours? Text with ': ' in it needs quotes"
    elif place.line > len(lines) or "end of stream" in str(error.problem):
        start = error.context_mark if "quoted" in str(error.context) else None
        opened = f" that line {start.line + 1} opens" if start is not None else ""
        hint = f"; is a quote, brace or bracket{opened} not closed?"
    return f"is not valid YAML: {error.problem}{hint}"
