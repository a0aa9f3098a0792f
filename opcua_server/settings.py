"""What an operator may set about the OPC UA server and its users."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from ledger.account import AccountId

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _endpoint(url: str) -> str:
    """An opc.tcp address with host and port; anything else is refused before a socket is opened."""
    parts = urlsplit(url)
    try:
        complete = parts.scheme == "opc.tcp" and bool(parts.hostname) and parts.port is not None
    except ValueError:
        complete = False
    if not complete:
        raise ValueError(f"expected an address such as 'opc.tcp://127.0.0.1:4840', got {url!r}")
    return url


class OpcUaServerSettings(BaseModel):
    """Where the server listens, and what somebody without a password may do there: read, or nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: Annotated[str, AfterValidator(_endpoint)] = "opc.tcp://127.0.0.1:4840"
    anonymous: Literal["read", "no"] = "read"

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.endpoint).port or 0

    @property
    def on_loopback(self) -> bool:
        return self.host in LOOPBACK


class UserSettings(BaseModel):
    """One user. The argon2 hash of the password stands in a file or an environment variable, never in YAML."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["observer", "operator", "engineer"]
    pays_from: tuple[AccountId, ...] = ()
    password_file: str | None = None
    password_env: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.password_file is None) == (self.password_env is None):
            raise ValueError("expected one of password_file and password_env, each naming where an argon2 hash stands")
        if self.pays_from and self.role != "operator":
            raise ValueError(f"only an operator pays; pays_from does not go with the role {self.role}")
        return self
