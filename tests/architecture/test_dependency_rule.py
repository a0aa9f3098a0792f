"""The dependency rule holds in this tree, and each of its contracts catches a violation planted in a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = {contract["id"]: contract["name"] for contract in SETTINGS["contracts"]}


@dataclass(frozen=True)
class Plant:
    """One forbidden import: `importer` gets the line `import imported`."""

    contract: str
    importer: str
    imported: str


PLANTS = [
    Plant("layers", "core.planted", "ledger"),
    Plant("layers", "connectors.planted", "ledger"),
    Plant("layers", "ledger.planted", "connectors"),
    Plant("layers", "settlement.planted", "opcua_server"),
    Plant("layers", "opcua_server.planted", "config"),
    Plant("layers", "config.planted", "app"),
    Plant("layers", "migrations.planted", "config"),
    Plant("migrations", "settlement.planted", "migrations"),
    Plant("pymodbus", "opcua_server.planted", "pymodbus"),
    Plant("asyncua", "app.planted", "asyncua"),
    Plant("psycopg", "ledger.planted", "psycopg"),
    Plant("sqlalchemy", "settlement.planted", "sqlalchemy"),
    Plant("alembic", "app.planted", "alembic"),
    Plant("apscheduler", "settlement.planted", "apscheduler"),
    Plant("yaml", "app.planted", "yaml"),
]


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"COLUMNS": "200"}
    return subprocess.run(
        [program, "--no-cache", "--no-logo"], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def report_of_planted_tree(tmp_path_factory: pytest.TempPathFactory) -> str:
    tree = tmp_path_factory.mktemp("planted")
    shutil.copy(ROOT / "pyproject.toml", tree)
    for package in SETTINGS["root_packages"]:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for plant in PLANTS:
        with tree.joinpath(*plant.importer.split(".")).with_suffix(".py").open("a") as module:
            module.write(f"import {plant.imported}\n")
    result = lint_imports(tree)
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stdout


def section(report: str, contract: str) -> str:
    """What the linter says of one broken contract: from its name among the broken ones to the next name."""
    _, _, details = report.partition("Broken contracts")
    _, _, rest = details.partition(CONTRACTS[contract])
    ends = [rest.index(name) for name in CONTRACTS.values() if name in rest]
    return rest[: min(ends, default=len(rest))]


def test_the_tree_keeps_every_contract() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken" in result.stdout


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: f"{plant.importer} imports {plant.imported}")
def test_a_planted_violation_is_caught(report_of_planted_tree: str, plant: Plant) -> None:
    assert f"{plant.importer} -> {plant.imported}" in section(report_of_planted_tree, plant.contract)


def test_every_contract_has_a_planted_violation() -> None:
    assert {plant.contract for plant in PLANTS} == set(CONTRACTS)


def test_every_package_is_under_the_rule() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "examples", "scripts"}
    assert packages == set(SETTINGS["root_packages"])
