"""The page on `myntverk ledger` lists every command with its arguments and options, and none that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.core import TyperArgument, TyperCommand, TyperGroup
from typer.main import get_command

from app.ledger_commands import app
from app.ledger_exchange_commands import SUFFIXES, ExportFormat

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "ledger_commands.md").read_text()
SHARED = {"--plant", "--data", "--json", "--help"}
WITHOUT_JSON = {"seal", "prove"}
WITHOUT_PLANT = {"verify-archive"}


def commands() -> dict[str, TyperCommand]:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return {name: each for name, each in group.commands.items() if isinstance(each, TyperCommand)}


def documented() -> dict[str, list[str]]:
    """The cells of the table of commands by the command's name, without code marks."""
    rows = [line.strip("| ").split("|") for line in PAGE.splitlines() if line.startswith("| `")]
    cells = [[cell.strip().replace("`", "") for cell in row] for row in rows]
    return {row[0].split()[0]: row for row in cells}


def options(command: TyperCommand) -> set[str]:
    return {name for each in command.params if not isinstance(each, TyperArgument) for name in each.opts} - SHARED


def test_every_command_is_on_the_page() -> None:
    assert documented().keys() == commands().keys()


@pytest.mark.parametrize("name", commands())
def test_a_command_is_shown_with_its_arguments_and_its_own_options(name: str) -> None:
    command, row = commands()[name], documented()[name]
    arguments = [str(each.name).upper() for each in command.params if isinstance(each, TyperArgument)]
    assert row[0].split()[1:] == arguments
    assert set(row[2].split()) == options(command)


@pytest.mark.parametrize("name", commands())
def test_a_command_takes_the_shared_options(name: str) -> None:
    found = {option for each in commands()[name].params for option in each.opts}
    assert ({"--plant", "--data"} <= found) == (name not in WITHOUT_PLANT)
    assert ("--json" in found) == (name not in WITHOUT_JSON)


def test_every_format_and_ending_is_named() -> None:
    assert [word for word in (*ExportFormat, *SUFFIXES) if f"`{word}`" not in PAGE] == []
