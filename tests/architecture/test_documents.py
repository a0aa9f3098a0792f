"""The documents speak of what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARCHITECTURE = ROOT / "docs" / "internals" / "architecture.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])


def modules_drawn(text: str) -> Iterator[Path]:
    """Every module of the tree under "Folders": a folder's line starts it, its modules are indented below."""
    tree = text.partition("## Folders")[2].partition("\n## ")[0]
    folder = ""
    for line in tree.splitlines():
        if match := re.match(r" {4}(\w+)/", line):
            folder = match[1]
        yield from (ROOT / folder / name for name in re.findall(r"\b\w+\.py\b", line))


def test_every_module_in_the_picture_exists() -> None:
    drawn = list(modules_drawn(ARCHITECTURE.read_text()))
    assert len(drawn) > 20
    assert not [path for path in drawn if not path.is_file()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_inside_the_project_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)|(?:src|srcset)=\"([^\"]+)\"", document.read_text())
    inside = [a or b for a, b in links if "://" not in (a or b)]
    assert not [link for link in inside if not (document.parent / link).exists()]
