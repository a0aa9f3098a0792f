"""The JSON Schema that editors use says the same as the loader."""

import importlib
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from config.reader import read_file
from config.schema import plant_schema

ROOT = Path(__file__).parents[3]
EXAMPLE = read_file(ROOT / "examples" / "factory.yaml").data()
SCHEMA = plant_schema()


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """The keywords that our schema uses; enough to notice a schema that refuses a good file or takes a bad one."""
    if "$ref" in schema and not fits(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]):
        return False
    if "anyOf" in schema and not any(fits(value, each) for each in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(fits(value, each) for each in schema["oneOf"]) != 1:
        return False
    if "not" in schema and fits(value, schema["not"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    names = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
    if names and not any(of_type(value, name) for name in names):
        return False
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return False
    if isinstance(value, list):
        return all(fits(each, schema.get("items", {})) for each in value)
    if isinstance(value, dict):
        return mapping_fits(value, schema)
    return True


def of_type(value: Any, name: str) -> bool:
    if isinstance(value, bool) or name == "boolean":
        return isinstance(value, bool) and name == "boolean"
    number = isinstance(value, int) or hasattr(value, "as_tuple")
    kinds: dict[str, type] = {"string": str, "object": dict, "array": list, "null": type(None), "integer": int}
    return number if name == "number" else isinstance(value, kinds[name])


def mapping_fits(value: dict[str, Any], schema: dict[str, Any]) -> bool:
    if not set(schema.get("required", ())) <= value.keys():
        return False
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, each in value.items():
        if not fits(key, schema.get("propertyNames", {})):
            return False
        matching = [properties[key]] if key in properties else [s for p, s in patterns.items() if re.search(p, key)]
        rest = schema.get("additionalProperties", True)
        if not matching and rest is False:
            return False
        matching = matching or ([rest] if isinstance(rest, dict) else [])
        if not all(fits(each, one) for one in matching):
            return False
    return True


def changed(path: list[str], value: Any) -> dict[str, Any]:
    """The example with one value put in, or taken out by ..."""
    copy: dict[str, Any] = json.loads(json.dumps(EXAMPLE, default=str))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy


def test_the_example_factory_fits_the_schema() -> None:
    assert fits(EXAMPLE, SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["acounts"], {}),
        (["plant"], {"timezone": "Europe/Stockholm"}),
        (["accounts", "agv-7", "ownr"], "movers"),
        (["accounts", "AGV"], {"owner": "movers", "name": "AGV"}),
        (["accounts", "agv-7", "floor"], -5000),
        (["accounts", "agv-7", "floor"], "nothing"),
        (["accounts", "agv-7", "kind"], "saving"),
        (["accounts", "agv-7", "state"], "asleep"),
        (["accounts", "agv-7", "labels"], ["hall"]),
        (["ledger", "url"], "postgresql://myntverk:hunter2@db/myntverk"),
        (["ledger", "url"], "mysql://db/myntverk"),
        (["ledger", "gateway"], "Main"),
        (["machines", "agv-7", "opcua"], {"url": "opc.tcp://127.0.0.1:4840"}),
        (["machines", "agv-7", "tags", "odometer", "adress"], "input:1"),
        (["machines", "agv-7", "tags", "odometer", "integral"], {}),
        (["machines", "agv-7", "tags", "odometer", "type"], "uint33"),
        (["machines", "agv-7", "tags", "odometer", "counter"], {"max_rates": "3 m/s"}),
        (["machines", "facade-1", "tags", "picked"], {"address": "input:30001", "type": "uint16"}),
        (["agreements", "sale", "caps"], {"day": "5 kr"}),
        (["agreements", "sale", "meter"], "robot-cell"),
        (["tariffs", "wear"], ["a list"]),
        (["users", "anna", "role"], "boss"),
    ],
)
def test_what_the_loader_refuses_the_schema_refuses(path: list[str], value: Any) -> None:
    assert fits(changed(["plant", "name"], "Fabriken"), SCHEMA)
    assert not fits(changed(path, value), SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["accounts", "agv-7", "floor"], "none"),
        (["accounts", "agv-7", "kind"], "buffer"),
        (["accounts", "agv-7", "labels"], {"hall": "norr", "bay": 7}),
        (["accounts", "agv-7", "cost_centre"], "42-10"),
        (["ledger", "url"], "postgresql:///myntverk"),
        (["ledger", "url"], "postgresql://myntverk@db:5433/myntverk?sslmode=verify-full"),
    ],
)
def test_what_the_loader_takes_the_schema_takes(path: list[str], value: Any) -> None:
    assert fits(changed(path, value), SCHEMA)


def test_the_schema_is_json_and_has_no_loose_ends() -> None:
    text = json.dumps(SCHEMA)
    pointed_at = set(re.findall(r'"#/\$defs/([^"]+)"', text))
    assert pointed_at == SCHEMA["$defs"].keys()
    assert "PT1S" not in text


if find_spec("jsonschema") is not None:

    def test_an_independent_validator_agrees() -> None:
        validator = importlib.import_module("jsonschema").Draft202012Validator
        validator.check_schema(SCHEMA)
        validator(SCHEMA).validate(json.loads(json.dumps(EXAMPLE, default=float)))
