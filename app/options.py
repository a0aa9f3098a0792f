"""The command line's arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEMO_FILE = Path(__file__).parents[1] / "examples" / "factory.yaml"

PlantFile = Annotated[Path, typer.Argument(metavar="FILE", help="The plant's YAML file.")]
PlantOption = Annotated[
    Path, typer.Option("--plant", metavar="FILE", envvar="MYNTVERK_PLANT", help="The plant's YAML file.")
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Keep, or look for, the ledger and all other data here."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output and nothing else.")]
