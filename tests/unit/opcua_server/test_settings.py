"""What may stand in the file about the server and its users."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from opcua_server.settings import OpcUaServerSettings, UserSettings


@pytest.mark.parametrize(
    ("endpoint", "host", "port", "on_loopback"),
    [
        ("opc.tcp://127.0.0.1:4840", "127.0.0.1", 4840, True),
        ("opc.tcp://[::1]:4840/bank", "::1", 4840, True),
        ("opc.tcp://0.0.0.0:0", "0.0.0.0", 0, False),
    ],
)
def test_an_endpoint_names_host_and_port(endpoint: str, host: str, port: int, on_loopback: bool) -> None:
    settings = OpcUaServerSettings(endpoint=endpoint)
    assert (settings.host, settings.port, settings.on_loopback) == (host, port, on_loopback)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4840", "http://a:1", "opc.tcp://a", "opc.tcp://a:x", "opc.tcp://:1"])
def test_an_endpoint_that_is_none_is_refused_with_an_example(endpoint: str) -> None:
    with pytest.raises(ValidationError, match=r"opc\.tcp://127\.0\.0\.1:4840"):
        OpcUaServerSettings(endpoint=endpoint)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"role": "operator"}, "one of password_file and password_env"),
        ({"role": "operator", "password_file": "a", "password_env": "B"}, "one of password_file and password_env"),
        ({"role": "observer", "password_env": "B", "pays_from": ["a"]}, "only an operator pays"),
        ({"role": "operator", "password": "secret"}, "Extra inputs are not permitted"),
        ({"role": "boss", "password_env": "B"}, "observer"),
    ],
)
def test_a_user_that_makes_no_sense_is_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        UserSettings.model_validate(settings)
