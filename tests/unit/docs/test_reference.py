"""The reference pages say what the code has: every setting, node, code and condition, and none that is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic import BaseModel

from app import main
from config.plant import check_plant
from config.reader import read
from config.schema import plant_schema
from config.sections import NAMED, SECTIONS, SINGLE, MachineSection
from connectors.catalog import KINDS
from core.money import CURRENCIES, SEK, Money
from core.quantity import UNITS, parse_unit
from ledger.account import Account, AccountId, PartyId
from opcua_server.address_space import (
    LEDGER_VARIABLES,
    MachineNode,
    MethodNode,
    Plant,
    ValueType,
    VariableNode,
    account_node_id,
    machine_node_id,
    nodes,
)
from opcua_server.nodes import VARIANT_TYPES
from opcua_server.status_codes import ResultCode
from settlement.functions import FUNCTIONS
from settlement.meter import Condition
from settlement.names import TIME_NAMES, Name, NameKind
from settlement.settings import METERS
from settlement.tariff import TariffProblem, TariffSettings, compile_tariff

ROOT = Path(__file__).parents[3]
PLANT_FILE, OPCUA_NODES, LOG = (
    (ROOT / "docs" / "reference" / name).read_text()
    for name in ("plant_file.md", "opcua_nodes.md", "log_and_exit_codes.md")
)
LOGGING_PACKAGES = ("app", "connectors", "ledger", "opcua_server", "settlement")

MODELS: dict[str, type[BaseModel]] = {
    **{f"## {section}": model for section, model in SINGLE.items()},
    **{f"## {section}": model for section, (model, _, _) in NAMED.items()},
    **{f"### Connection: {kind.name}": kind.settings for kind in KINDS.values()},
    **{f"### Tag: {kind.name}": kind.tag for kind in KINDS.values()},
    **{f"### Meter: {key}": model for key, model in METERS.items()},
}
TAGS = {
    name: Name(kind, parse_unit(unit))
    for name, kind, unit in [
        ("odometer", NameKind.USAGE, "m"),
        ("energy", NameKind.USAGE, "Wh"),
        ("parts", NameKind.USAGE, "pieces"),
        ("running", NameKind.USAGE, "s"),
        ("rpm", NameKind.VALUE, "rpm"),
        ("temperature", NameKind.VALUE, "°C"),
        ("moving", NameKind.VALUE, ""),
        ("spot", NameKind.VALUE, "kr/kWh"),
    ]
}


def below(page: str, heading: str) -> str:
    """What stands under a heading, up to the next one of any level."""
    _, found, rest = f"\n{page}".partition(f"\n{heading}\n")
    assert found, f"no heading {heading!r}"
    return re.split(r"\n#{1,6} ", rest)[0]


def rows(text: str, first_head: str) -> list[list[str]]:
    """The cells, without code marks, of the tables whose heading row begins with that word."""
    found: list[list[str]] = []
    is_wanted = False
    for line in text.splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip("| ").split(" | ")]
        if not line.startswith("|"):
            is_wanted = False
        elif is_wanted:
            found.append(cells)
        elif cells[0] == first_head:
            is_wanted = True
    assert found, f"no table headed {first_head!r}"
    return [cells for cells in found if not set(cells[0]) <= set("-:|")]


def first_cells(text: str, first_head: str) -> list[str]:
    return [cells[0] for cells in rows(text, first_head)]


def keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


@pytest.mark.parametrize("heading", MODELS)
def test_a_section_of_the_plant_file_lists_the_keys_that_there_are(heading: str) -> None:
    assert sorted(first_cells(below(PLANT_FILE, heading), "key")) == sorted(keys(MODELS[heading]))


def test_a_machine_lists_its_keys_beside_its_connection() -> None:
    section = below(PLANT_FILE, "## machines")
    assert sorted(first_cells(section, "key")) == sorted([*keys(MachineSection), "tags"])
    identification = plant_schema()["$defs"]["Identification"]["properties"]
    assert [key for key in [*identification, *KINDS] if f"`{key}`" not in section] == []


def test_every_key_of_the_schema_stands_somewhere_on_the_page() -> None:
    definitions = plant_schema()["$defs"].values()
    of_schema = {key for definition in definitions for key in _properties(definition)}
    assert {"max_rate", "from", "edge", "charge"} <= of_schema
    assert {key for key in [*of_schema, *SECTIONS] if not re.search(rf"[`# ]{key}\b", PLANT_FILE)} == set()


def _properties(definition: object) -> Iterator[str]:
    if isinstance(definition, dict):
        yield from definition.get("properties", {})
        for option in definition.get("anyOf", ()):
            yield from _properties(option)


@pytest.mark.parametrize("heading", MODELS)
def test_a_key_without_a_default_is_called_required(heading: str) -> None:
    required = [field.alias or name for name, field in MODELS[heading].model_fields.items() if field.is_required()]
    table = rows(below(PLANT_FILE, heading), "key")
    assert sorted(cells[0] for cells in table if cells[3] == "required") == sorted(required)


def test_the_smallest_plant_on_the_page_is_good() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PLANT_FILE, re.DOTALL)
    assert list(check_plant(read(text.encode(), "plant_file.md")).agreements) == ["transport"]


def test_every_unit_currency_function_and_name_of_time_is_mentioned() -> None:
    symbols = [symbol for symbol in UNITS if symbol not in ("", "1", *CURRENCIES)]
    words = [*symbols, *TIME_NAMES, *FUNCTIONS]
    assert [word for word in words if not re.search(rf"`{re.escape(word)}[`(]", PLANT_FILE)] == []
    assert [code for code in CURRENCIES if code not in PLANT_FILE] == []


def compile_charge(charge: str) -> list[TariffProblem]:
    return compile_tariff("a-tariff", TariffSettings(charge=charge), TAGS.get, SEK, TAGS)[1]


def test_the_charges_shown_as_good_are_good_and_those_shown_as_refused_are_refused() -> None:
    language = below(PLANT_FILE, "## The tariff language")
    good, refused = language.split("These are refused:")
    assert [charge for charge in first_cells(good, "charge") if compile_charge(charge)] == []
    assert [charge for charge in first_cells(refused, "charge") if not compile_charge(charge)] == []


@pytest.fixture(scope="module")
def variables() -> Sequence[VariableNode | MethodNode]:
    account = Account(AccountId("a"), "A", PartyId("p"), Money.zero(SEK))
    found = nodes(Plant("A plant", (MachineNode("m", "M"),)), [account])
    return [node for node in found if isinstance(node, VariableNode | MethodNode)]


def typed(prefix: str, found: Sequence[VariableNode | MethodNode]) -> list[list[str]]:
    """Name below the prefix and OPC UA type of each variable there."""
    return sorted(
        [node.id.removeprefix(f"{prefix}."), type_name(node.type)]
        for node in found
        if isinstance(node, VariableNode) and node.id.startswith(f"{prefix}.")
    )


def type_name(type_: ValueType) -> str:
    return str(VARIANT_TYPES[type_].name)


@pytest.mark.parametrize(
    ("heading", "prefix"),
    [
        ("## Accounts", account_node_id(AccountId("a"))),
        ("## Machines", machine_node_id("m")),
        ("## Ledger", "Ledger"),
    ],
)
def test_the_variables_on_the_page_are_those_of_the_server(
    heading: str, prefix: str, variables: Sequence[VariableNode | MethodNode]
) -> None:
    documented = [cells[:2] for cells in rows(below(OPCUA_NODES, heading), "variable")]
    assert sorted(documented) == typed(prefix, variables)
    assert len(documented) >= len(LEDGER_VARIABLES)


def test_the_methods_on_the_page_have_the_servers_arguments(variables: Sequence[VariableNode | MethodNode]) -> None:
    methods = [node for node in variables if isinstance(node, MethodNode)]
    section = below(OPCUA_NODES, "## Methods")
    assert [cells[:2] for cells in rows(section, "method")] == [
        [method.name, " ".join(argument.name for argument in method.inputs)] for method in methods
    ]
    inputs = {(each.name, type_name(each.type)) for method in methods for each in method.inputs}
    outputs = {(each.name, type_name(each.type)) for method in methods for each in method.outputs}
    assert {(name, type_) for name, type_, _ in rows(section, "argument")} == inputs
    assert {(name, type_) for name, type_, _ in rows(section, "output")} == outputs


def test_the_result_codes_on_the_page_are_those_of_the_server() -> None:
    documented = [cells[:2] for cells in rows(below(OPCUA_NODES, "### ResultCode"), "code")]
    assert documented == [[str(code.value), code.name] for code in ResultCode]


def test_every_condition_of_a_meter_is_explained_to_the_operator() -> None:
    documented = [cells[1] for cells in rows(below(LOG, "## What meters say"), "level")]
    assert sorted(documented) == sorted(Condition)


def logged() -> Iterator[tuple[str, str]]:
    """Level and text of every event that the code logs under a fixed text."""
    for package in LOGGING_PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                match node:
                    case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level), args=[text, *_]):
                        constants = (part.value for part in ast.walk(text) if isinstance(part, ast.Constant))
                        yield from ((level, str(constant)) for constant in constants)


def test_every_event_that_is_logged_is_on_the_page_with_its_level() -> None:
    events = {(level, text) for level, text in logged() if text}
    assert len(events) > 10
    table = rows(below(LOG, "## The log"), "level")
    missing = [event for event in events if not any(cells[0] == event[0] and event[1] in cells[1] for cells in table)]
    assert missing == []


def test_the_exit_codes_on_the_page_are_those_of_the_command_line() -> None:
    documented = first_cells(below(LOG, "## Exit codes"), "code")
    assert documented == ["0", "1", str(main.EXIT_MISCONFIGURED), str(main.EXIT_BROKEN), str(main.EXIT_INTERRUPTED)]
