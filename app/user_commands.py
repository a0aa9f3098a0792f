"""`myntverk user …`: who may log in to the OPC UA server."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from app import wiring
from app.options import DEMO_FILE, DataOption, PlantOption
from config.plant import load_plant
from core.errors import Misconfigured, Problem, Rejected
from opcua_server.security import write_password_file

app = typer.Typer(help="Users of the OPC UA server.", no_args_is_help=True)


@app.callback()
def options() -> None:
    """Users of the OPC UA server."""


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="A user of the plant's file whose password stands in a password_file.")],
    plant: PlantOption = DEMO_FILE,
    data: DataOption = None,
) -> None:
    """Set a user's password; it is asked for, or read from standard input when that is not a terminal."""
    found = load_plant(plant)
    user = found.users.get(name)
    if user is None or user.password_file is None:
        known = ", ".join(name for name, user in found.users.items() if user.password_file) or "none"
        raise Rejected("unknown_user", f"{plant} has no user {name!r} with a password_file; it has: {known}")
    path = wiring.data_directory(found, data) / user.password_file
    try:
        write_password_file(path, _password(name))
    except ValueError as error:
        raise Rejected("not_a_password", str(error)) from None
    except OSError as error:
        raise Misconfigured([Problem(f"cannot write {path}: {error.strerror}")]) from None
    print(f"{path} written; restart Myntverk to let {name} in with it")


def _password(name: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(f"Password for {name}", hide_input=True, confirmation_prompt=True))
    try:
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Rejected("not_a_password", "expected a password in UTF-8 on standard input") from None
