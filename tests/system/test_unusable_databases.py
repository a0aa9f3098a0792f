"""A database that cannot be opened is one clear line, never a traceback."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from opcua_server.security import write_password_file
from tests.support.plant import PASSWORD, free_port, myntverk, write_plant


@pytest.fixture
def plant_file(tmp_path: Path) -> Path:
    write_password_file(tmp_path / "data" / "demo-passwords" / "anna", PASSWORD)
    return write_plant(tmp_path, free_port(), free_port(), 0, {})


def test_a_directory_in_place_of_the_database_is_one_clear_line(plant_file: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "myntverk.db").mkdir()
    ended = myntverk("run", plant_file, "--data", tmp_path / "data")
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    assert str(tmp_path / "data" / "myntverk.db") in ended.stderr


def test_a_file_that_is_no_database_is_one_clear_line_and_left_as_it_was(plant_file: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "data" / "myntverk.db"
    spoilt.write_bytes(b"not a database" * 1000)
    ended = myntverk("run", plant_file, "--data", tmp_path / "data")
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    assert str(spoilt) in ended.stderr
    assert spoilt.read_bytes() == b"not a database" * 1000


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of a file's size")
def test_no_room_for_the_tables_is_one_clear_line(plant_file: Path, tmp_path: Path) -> None:
    limit = (20_000, 20_000)
    ended = myntverk(
        "run",
        plant_file,
        "--data",
        tmp_path / "data",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    assert "myntverk.db" in ended.stderr
