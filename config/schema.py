"""JSON Schema (draft 2020-12) of the plant's file, for editors that complete and check while one writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from config.sections import ID, NAME, NAMED, SINGLE, MachineSection
from connectors.catalog import KINDS, Kind
from settlement.settings import METERS

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def plant_schema() -> Schema:
    """The whole file: every section, and machines with the tags of each connector."""
    models: list[type[BaseModel]] = [
        *SINGLE.values(),
        *(model for model, _, _ in NAMED.values()),
        *(model for kind in KINDS.values() for model in (kind.settings, kind.tag)),
        *METERS.values(),
        MachineSection,
    ]
    references, document = models_json_schema([(model, "validation") for model in models], title="A Myntverk plant")
    definitions: Schema = document["$defs"]

    def reference(model: Any) -> Schema:
        return {"$ref": references[model, "validation"]["$ref"]}

    def definition(model: Any) -> Schema:
        found: Schema = definitions[references[model, "validation"]["$ref"].rpartition("/")[2]]
        return found

    meters = {key: {"anyOf": [reference(model), {"type": "null"}]} for key, model in METERS.items()}
    machine = definition(MachineSection)
    kinds = []
    for kind in KINDS.values():
        definitions[f"{kind.name}-tag"] = _tag(definition(kind.tag), meters)
        definitions[f"{kind.name}-machine"] = _machine(machine, kind, reference(kind.settings))
        kinds.append({"$ref": f"#/$defs/{kind.name}-machine"})
    properties = {
        **{section: reference(model) for section, model in SINGLE.items()},
        **{section: _by_name(pattern, reference(model)) for section, (model, pattern, _) in NAMED.items()},
        "machines": _by_name(ID, {"oneOf": kinds}),
    }
    schema = {
        "$schema": DIALECT,
        "title": document["title"],
        "type": "object",
        "properties": _plain(properties),
        "required": ["plant"],
        "additionalProperties": False,
    }
    return {**schema, "$defs": _used(schema, _plain(definitions))}


def _tag(tag: Schema, meters: Schema) -> Schema:
    """A tag of one connector, and at most one meter over it."""
    keys = list(meters)
    pairs = [[one, other] for place, one in enumerate(keys) for other in keys[place + 1 :]]
    return {
        **tag,
        "properties": {**tag["properties"], **meters},
        "not": {"anyOf": [{"required": pair} for pair in pairs]},
    }


def _machine(machine: Schema, kind: Kind, connection: Schema) -> Schema:
    tags = _by_name(NAME, {"$ref": f"#/$defs/{kind.name}-tag"})
    return {
        **machine,
        "properties": {**machine["properties"], kind.name: connection, "tags": tags},
        "required": [*machine.get("required", ()), kind.name],
    }


def _by_name(pattern: str, entry: Schema) -> Schema:
    return {
        "type": ["object", "null"],
        "propertyNames": {"pattern": f"^{pattern}$"},
        "additionalProperties": entry,
    }


def _plain(schema: Any) -> Any:
    """Without pydantic's titles, and without defaults that the file could not say, such as a duration as `PT1S`."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        is_noise = key == "title" and isinstance(value, str)
        if not is_noise and not (key == "default" and not _can_be_said(value, schema)):
            kept[key] = _plain(value)
    return kept


def _can_be_said(default: Any, schema: Schema) -> bool:
    if isinstance(default, str):
        return re.search(schema.get("pattern", ""), default) is not None
    return default not in (None, {}, []) and not isinstance(default, dict)


def _used(schema: Schema, definitions: Schema) -> Schema:
    """The definitions that something points to."""
    used: Schema = {}
    waiting = list(_references(schema))
    while waiting:
        name = waiting.pop()
        if name not in used:
            used[name] = definitions[name]
            waiting.extend(_references(definitions[name]))
    return dict(sorted(used.items()))


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from _references(each)
    elif isinstance(schema, dict):
        if isinstance(pointer := schema.get("$ref"), str):
            yield pointer.rpartition("/")[2]
        for each in schema.values():
            yield from _references(each)
