"""Rules that hold line by line: who may read the clock, draw at random, or touch a float."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("core", "connectors", "ledger", "settlement", "opcua_server", "config", "app", "migrations")
MONEY_PACKAGES = ("core", "ledger", "settlement")

CHANCE = {"random", "secrets"}
CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "localtime", "gmtime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "uuid": {"uuid1", "uuid4", "uuid6", "uuid7"},
}

FROM_CORE = "take a core.clock.Clock or core.ids.Ids by the constructor"

# path → why it may. A path that no longer needs its exception must leave the list: a test below sees to it.
CLOCK_OR_CHANCE_ALLOWED = {
    "opcua_server/security.py": "a password nobody has and the name of a half-written file: never in the ledger",
    "opcua_server/sessions.py": "a session's token must not be guessed, not even by who knows the seed",
}
FLOAT_ALLOWED = {
    "core/quantity.py": "difflib's cutoff, to guess which unit was meant",
}


def imports(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Line, module and imported name of every absolute import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, node.module, alias.name) for alias in node.names)


def clock_or_chance(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for line, module, name in imports(tree):
        if module in CHANCE:
            yield line, f"imports {module}: {FROM_CORE}"
        if name in CLOCKS.get(module, ()):
            yield line, f"imports {module}.{name}: {FROM_CORE}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if node.attr in CLOCKS.get(owner, ()):
                yield node.lineno, f"uses {owner}.{node.attr}: {FROM_CORE}"


def floats(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield node.lineno, f"has the float {node.value}: write an integer, a Decimal or a Fraction"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "float":
            yield node.lineno, "calls float(): no float touches an amount or a quantity"


def foreign_imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for line, module, _ in imports(tree):
        if module.split(".")[0] not in sys.stdlib_module_names | {"core"}:
            yield line, f"imports {module}: core knows the standard library only"


Rule = Callable[[ast.AST], Iterator[tuple[int, str]]]


def findings(rule: Rule, packages: tuple[str, ...]) -> dict[str, list[str]]:
    """path → what the rule found there, in every module of these packages."""
    found: dict[str, list[str]] = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            said = [f"{name}:{line}: {text}" for line, text in rule(ast.parse(path.read_text(), name))]
            if said:
                found[name] = said
    return found


def assert_only_allowed(found: dict[str, list[str]], allowed: dict[str, str]) -> None:
    wrong = [line for name, lines in found.items() if name not in allowed for line in lines]
    assert not wrong, "\n".join(wrong)
    assert not set(allowed) - set(found), "these exceptions are no longer needed"


def test_only_core_reads_the_clock_or_draws_at_random() -> None:
    outside = tuple(package for package in PACKAGES if package != "core")
    assert_only_allowed(findings(clock_or_chance, outside), CLOCK_OR_CHANCE_ALLOWED)


def test_no_float_touches_money() -> None:
    assert_only_allowed(findings(floats, MONEY_PACKAGES), FLOAT_ALLOWED)


def test_core_imports_the_standard_library_only() -> None:
    assert_only_allowed(findings(foreign_imports, ("core",)), {})


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (clock_or_chance, "import uuid\nuuid.uuid4()"),
        (clock_or_chance, "from uuid import uuid4"),
        (clock_or_chance, "from secrets import token_hex"),
        (clock_or_chance, "from time import monotonic"),
        (clock_or_chance, "import time\ntime.time()"),
        (clock_or_chance, "import datetime\ndatetime.datetime.now(tz)"),
        (clock_or_chance, "from datetime import date\ndate.today()"),
        (floats, "price = 0.1"),
        (floats, "price = float(text)"),
        (foreign_imports, "import structlog"),
        (foreign_imports, "from ledger.transfer import Transfer"),
    ],
)
def test_each_rule_finds_what_it_is_for(rule: Rule, source: str) -> None:
    assert list(rule(ast.parse(source)))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (clock_or_chance, "at = clock.now()\nlater = self.clock.monotonic()"),
        (clock_or_chance, "from datetime import datetime\ndatetime.fromtimestamp(0, UTC)"),
        (clock_or_chance, "from uuid import UUID\nUUID(text)"),
        (floats, "price = Decimal('0.1') * 3"),
        (foreign_imports, "import decimal\nfrom core.errors import Rejected"),
    ],
)
def test_each_rule_leaves_good_code_alone(rule: Rule, source: str) -> None:
    assert not list(rule(ast.parse(source)))
