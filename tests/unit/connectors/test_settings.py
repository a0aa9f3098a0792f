"""What a plant's file may say about connectors, and what it hears when it is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from connectors.catalog import KINDS
from core.quantity import UNITS

MODBUS, OPCUA = KINDS["modbus"], KINDS["opcua"]
EXAMPLE = Path(__file__).parents[3] / "examples" / "factory.yaml"
METERING = {"counter", "gauge", "duration", "event"}


def test_settings_of_the_example_are_read():
    settings = MODBUS.settings.model_validate({"host": "127.0.0.1", "port": 15020, "unit": 2, "every": "100 ms"})
    assert settings.every == timedelta(milliseconds=100)
    tag = MODBUS.tag.model_validate({"address": "input:30001", "type": "uint32", "scale": 0.01, "unit": "m"})
    assert tag.scale == Decimal("0.01")
    assert tag.unit is UNITS["m"]
    assert OPCUA.settings.model_validate({"url": "opc.tcp://127.0.0.1:4841"}).publishing == timedelta(milliseconds=100)


def test_every_machine_of_the_example_plant_fits_its_connector():
    for machine in yaml.safe_load(EXAMPLE.read_text())["machines"].values():
        (kind,) = [KINDS[key] for key in machine if key in KINDS]
        settings = kind.settings.model_validate(machine[kind.name])
        tags = {
            name: kind.tag.model_validate({key: value for key, value in tag.items() if key not in METERING})
            for name, tag in machine["tags"].items()
        }
        assert kind.check(settings, tags) == []


@pytest.mark.parametrize("written", [0.01, "0.01", Decimal("0.01")])
def test_a_scale_is_the_decimal_that_was_written(written):
    tag = MODBUS.tag.model_validate({"address": "input:1", "type": "uint16", "scale": written})
    assert tag.scale == Decimal("0.01")


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ({"address": "40001", "type": "uint16"}, "expected a table and a number such as 'holding:40011'"),
        ({"address": 40001, "type": "uint16"}, "expected text such as 'holding:40011'"),
        ({"address": "holding:1", "type": "uint24"}, "'uint16'"),
        ({"address": "holding:1", "type": "bool"}, "needs its bit, such as 'holding:1.0'"),
        ({"address": "coil:1", "type": "uint16"}, "expected type bool, got uint16"),
        ({"address": "holding:1.3", "type": "uint16"}, "expected type bool, got uint16"),
        ({"address": "coil:1", "type": "bool", "scale": 2}, "a bool has no scale"),
        ({"address": "holding:1", "type": "uint16", "scale": 0}, "scale is 0"),
        ({"address": "holding:1", "type": "uint16", "scale": "1e999999"}, "expected a plain number such as 0.01"),
        ({"address": "holding:1", "type": "uint16", "scale": float("nan")}, "expected a plain number such as 0.01"),
        ({"address": "holding:1", "type": "uint16", "scale": True}, "expected a plain number such as 0.01"),
        ({"address": "holding:1", "type": "uint16", "unit": "kwh"}, "did you mean 'kWh'"),
        ({"address": "holding:1", "type": "uint16", "order": "ABDC"}, "'ABCD'"),
        ({"address": "holding:1", "type": "uint16", "not_available": 65536}, "expected a pattern of 16 bits"),
        ({"address": "holding:1", "type": "uint16", "not_available": "x"}, "such as 0xFFFF"),
        ({"address": "holding:1", "type": "uint16", "adress": 1}, "Extra inputs are not permitted"),
        ({"address": "holding:1", "type": "uint16", "min": 5, "max": 5}, "expected min below max, got min 5 and max 5"),
        ({"address": "holding:1", "type": "uint16", "min": "low"}, "expected a plain number such as 0.01"),
        ({"address": "coil:1", "type": "bool", "max": 1}, "a bool has no scale, offset, min, max"),
    ],
)
def test_a_wrong_modbus_tag_is_told_what_was_expected(tag, told):
    with pytest.raises(ValidationError, match=r"(?s).*" + told.replace("(", r"\\(")):
        MODBUS.tag.model_validate(tag)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"host": ""}, "at least 1 character"),
        ({"host": "plc", "every": "100"}, "got '100'|expected a time|cannot become"),
        ({"host": "plc", "every": 100}, "expected text such as '100 ms'"),
        ({"host": "plc", "every": "0 s"}, "expected a time above zero"),
        ({"host": "plc", "port": 70000}, "less than or equal to 65535"),
        ({"host": "plc", "base": 2}, "'manual'"),
        ({"host": "plc", "max_registers": 126}, "less than or equal to 125"),
    ],
)
def test_wrong_modbus_settings_are_told_what_was_expected(settings, told):
    with pytest.raises(ValidationError, match=told):
        MODBUS.settings.model_validate(settings)


def test_a_wrong_opcua_tag_is_told_what_was_expected():
    with pytest.raises(ValidationError, match=r"expected min below max, got min 0.5 and max -1"):
        OPCUA.tag.model_validate({"node": "i=1", "min": 0.5, "max": -1})
    with pytest.raises(ValidationError, match="scale is 0"):
        OPCUA.tag.model_validate({"node": "i=1", "scale": 0})


@pytest.mark.parametrize("bounds", [{"min": 0}, {"max": "0.5"}, {"min": -0.5, "max": 0}])
@pytest.mark.parametrize("where", [{"node": "i=1"}, {"address": "input:1", "type": "uint16"}], ids=["opcua", "modbus"])
def test_either_bound_may_be_given_alone(where, bounds):
    tag = (OPCUA if "node" in where else MODBUS).tag.model_validate({**where, **bounds})
    assert (tag.min, tag.max) == tuple(Decimal(str(bounds[key])) if key in bounds else None for key in ("min", "max"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"url": "http://x"}, "opc"),
        ({"url": "opc.tcp://"}, "expected a url such as"),
        ({"url": "opc.tcp://me:secret@plc:4840"}, "must not carry a user or password"),
        ({"url": "opc.tcp://plc", "security": "Basic256Sha256"}, "not available yet"),
        ({"url": "opc.tcp://plc", "password_file": "x"}, "set 'user'"),
    ],
)
def test_wrong_opcua_settings_are_told_what_was_expected(settings, told):
    with pytest.raises(ValidationError, match=told):
        OPCUA.settings.model_validate(settings)


def test_a_password_file_that_is_not_there_is_found_by_the_check(tmp_path):
    settings = {"url": "opc.tcp://plc", "user": "me", "password_file": tmp_path / "none"}
    (problem,) = OPCUA.check(OPCUA.settings.model_validate(settings), {})
    assert problem.path == "opcua.password_file"


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_settings_have_a_json_schema_for_editors(kind):
    for model in (kind.settings, kind.tag):
        schema = json.dumps(model.model_json_schema())
        assert '"additionalProperties": false' in schema


def test_reading_a_plants_file_loads_no_protocol_library():
    code = "import sys, connectors.catalog; print(sorted({'asyncua', 'pymodbus'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
