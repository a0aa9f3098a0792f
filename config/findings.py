"""Everything wrong with a file, gathered while the rest of it is still being checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from config.reader import Document, Steps
from config.wording import explain, meant, nearest, shown
from core.errors import Problem

M = TypeVar("M", bound=BaseModel)

PROBLEMS_SHOWN_MAX = 200


class Findings:
    """The problems of one document. Every question answers with what is valid, and notes what is not."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._problems: dict[Problem, None] = dict.fromkeys(document.problems)

    @property
    def problems(self) -> list[Problem]:
        """In the file's order, then those of files that it names; the same thing is said once."""
        own = self.document.file
        found = sorted(self._problems, key=lambda each: (each.file != own, each.file, each.line, each.column))
        if len(found) > PROBLEMS_SHOWN_MAX:
            more = Problem(f"and {len(found) - PROBLEMS_SHOWN_MAX} problems more", file=self.document.file)
            found = [*found[:PROBLEMS_SHOWN_MAX], more]
        return found

    def add(self, message: str, path: Steps, *, at_key: bool = False) -> None:
        self._problems[self.document.problem(message, path, at_key=at_key)] = None

    def add_elsewhere(self, problem: Problem) -> None:
        """A problem in a line of another file."""
        self._problems[problem] = None

    def add_at_column(self, message: str, path: Steps, column: int) -> None:
        """A problem inside a text; `column` 1 is its first character, 0 the whole."""
        problem = self.document.problem(message, path)
        node = self.document.node(path)
        if column and node is not None and isinstance(node.value, str) and "\n" not in node.value:
            problem = replace(problem, column=problem.column + node.quote_width + column - 1)
        self._problems[problem] = None

    def settings(
        self, model: type[M], path: Steps, data: Mapping[str, Any] | None = None, known: Iterable[str] = ()
    ) -> M | None:
        """The settings that stand there, or None after noting each field that does not fit.

        `data`: what to check when it is not all that stands there; `known`: more keys to suggest.
        """
        content = self.document.data(path) if data is None else data
        if content is None:
            content = {}
        try:
            return model.model_validate(content)
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False)
        mistyped = {
            meant(str(e["loc"][-1]), _fields(model, e["loc"])) for e in errors if e["type"] == "extra_forbidden"
        }
        for error in errors:
            location = error["loc"]
            if error["type"] == "missing" and location[-1] in mistyped:
                continue  # its key is there, with a spelling mistake
            steps = self._steps(path, location, error["type"])
            at_key = steps == path or error["type"] in ("missing", "extra_forbidden")
            suggested = [*_fields(model, location), *(known if len(location) == 1 else ())]
            field = model.model_fields.get(str(location[0])) if location else None
            examples = field.examples if field is not None and field.examples and len(location) == 1 else ()
            self.add(explain(error, suggested, examples), steps, at_key=at_key)
        return None

    def keys(self, path: Steps, pattern: str = "", example: str = "") -> list[str]:
        """The keys of the mapping there, each checked against the pattern; none when it is no mapping."""
        node = self.document.node(path)
        if node is None or node.value is None:
            return []
        if not isinstance(node.value, dict):
            self.add(f"expected keys with values, got {shown(self.document.data(path))}", path)
            return []
        names = list(node.value)
        for name in names:
            if pattern and not re.fullmatch(pattern, name):
                self.add(f"{shown(name)} is not a name; expected one such as {example!r}", (*path, name), at_key=True)
        return names

    def refers(self, path: Steps, section: Steps, noun: str) -> bool:
        """Whether what stands at `path` names something in that section; noted when it is a text that does not.

        It looks at the file itself: neither a wrong neighbour nor a wrong target hides or adds a problem here.
        """
        word = self.document.data(path)
        if not isinstance(word, str):
            return False
        names = self.document.entries(section)
        if word not in names:
            self.add(f"unknown {noun} {shown(word)}{nearest(word, names)}", path)
        return word in names

    def _steps(self, path: Steps, location: tuple[int | str, ...], kind: str) -> Steps:
        """Where pydantic points to, without its own marks such as the members of a union."""
        steps = path
        for step in location:
            deeper = (*steps, step)
            if self.document.node(deeper) is not None or (kind == "missing" and step == location[-1]):
                steps = deeper
        return steps


def _fields(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand where `location` ends; none when nobody can say."""
    for step in location[:-1]:
        field = model.model_fields.get(str(step))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        model = field.annotation
    return [field.alias or name for name, field in model.model_fields.items()]
