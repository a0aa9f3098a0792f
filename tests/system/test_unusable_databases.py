"""A database that cannot be opened is one clear line, never a traceback."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url

from ledger.database import open_engine
from ledger.settings import PASSWORD_VARIABLE
from migrations import upgrade
from opcua_server.security import write_password_file
from tests.support.plant import ENVIRONMENT, PASSWORD, free_port, myntverk, write_plant
from tests.support.postgresql_cluster import Cluster, postgresql_cluster

Told = Callable[[tuple[str, ...], str], tuple[str, int]]


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


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgresql_cluster() as cluster:
        yield cluster


COMMANDS = (("run",), ("ledger", "accounts", "--plant"), ("ledger", "verify", "--plant"))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """What a command prints about the ledger at a url, and its exit code; the password is never in it."""

    def tell(command: tuple[str, ...], url: str) -> tuple[str, int]:
        parts = make_url(url)
        password = parts.password or "nobodys-word"
        monkeypatch.setitem(ENVIRONMENT, PASSWORD_VARIABLE, password)
        place = URL.create(parts.drivername, parts.username, None, parts.host, parts.port, parts.database)
        write_password_file(tmp_path / "data" / "demo-passwords" / "anna", PASSWORD)
        changes = {"url: sqlite:///data/myntverk.db": f"url: {place}"}
        file = write_plant(tmp_path, free_port(), free_port(), 0, changes)
        ended = myntverk(*command, file, "--data", tmp_path / "data")
        assert "Traceback" not in ended.stderr
        assert password not in ended.stderr + ended.stdout
        assert len(ended.stderr.splitlines()) == 1
        return ended.stderr, ended.returncode

    return tell


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_postgresql_that_cannot_be_entered_is_one_clear_line(
    cluster: Cluster, told: Told, command: tuple[str, ...]
) -> None:
    nobody = free_port()
    for url, said in (
        (f"postgresql://admin@127.0.0.1:{nobody}/myntverk", "Connection refused"),
        (cluster.url(password="wrong-word"), 'password authentication failed for user "admin"'),
        (cluster.url("nowhere"), 'database "nowhere" does not exist'),
    ):
        text, code = told(command, url)
        assert code == 1
        assert said in text
        assert "expected a PostgreSQL that answers there" in text
        assert PASSWORD_VARIABLE in text
        assert f"127.0.0.1:{make_url(url).port}/{make_url(url).database}" in text


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_of_a_newer_version_is_one_clear_line(
    cluster: Cluster, told: Told, command: tuple[str, ...]
) -> None:
    url = cluster.create_database()
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    cluster.execute("UPDATE alembic_version SET version_num = '9999'", url)
    text, code = told(command, url)
    assert code == 2
    assert "the database is at version 9999, this program knows versions up to" in text
    assert "start the newer program" in text


def test_a_user_who_may_make_no_tables_is_told_so_in_one_clear_line(cluster: Cluster, told: Told) -> None:
    cluster.execute("CREATE ROLE poor LOGIN PASSWORD 'poor-word'")
    database = cluster.create_database().rpartition("/")[2]
    text, code = told(("run",), cluster.url(database, "poor", "poor-word"))
    assert code == 1
    assert "permission denied for schema public; expected a user who owns the tables, or may make them" in text
    assert f"postgresql://poor@127.0.0.1:{cluster.port}/{database}" in text


@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_a_database_without_a_ledger_is_one_clear_line(cluster: Cluster, told: Told, command: tuple[str, ...]) -> None:
    text, code = told(command, cluster.create_database())
    assert code == 2
    assert "the database holds no ledger yet" in text
    assert "run the plant first" in text


@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_reading_a_file_that_is_no_database_is_one_clear_line(
    plant_file: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "data" / "myntverk.db").write_bytes(b"not a database" * 1000)
    ended = myntverk(*command, plant_file, "--data", tmp_path / "data")
    assert ended.returncode == 1
    assert "expected a file that Myntverk wrote" in ended.stderr
    assert str(tmp_path / "data" / "myntverk.db") in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder where not even root may write")
def test_a_folder_where_nobody_may_write_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_password_file(tmp_path / "anna", PASSWORD)
    changes = {
        "url: sqlite:///data/myntverk.db": "url: sqlite:////proc/self/myntverk.db",
        "demo-passwords/anna": str(tmp_path / "anna"),
    }
    ended = myntverk("run", write_plant(tmp_path, free_port(), free_port(), 0, changes))
    assert ended.returncode == 2
    assert "ledger.url: cannot write in /proc/" in ended.stderr
    assert "make it writable, or choose another folder" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
