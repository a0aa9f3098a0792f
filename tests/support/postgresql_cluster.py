"""A PostgreSQL server of the test's own, which may be stopped, killed and locked out of at will."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.support.plant import free_port

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
SERVER_USER = "postgres"
"""Who runs the server when the test's user is root, as whom it does not run."""
PASSWORD = "correct-horse"


class Cluster:
    """Listens on 127.0.0.1 only; `admin` is its superuser and needs `PASSWORD`."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._programs = programs
        self._databases = 0
        as_root = sys.platform != "win32" and os.geteuid() == 0
        self._options: dict[str, Any] = {"user": SERVER_USER, "group": SERVER_USER} if as_root else {}
        if as_root:
            shutil.chown(folder, SERVER_USER, SERVER_USER)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "-D", self._data, "-U", "admin", "-A", "scram-sha-256", "--pwfile", secret, "--no-sync")
        with (folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{folder}'\n"
                "max_connections = 30\nshared_buffers = 16MB\n"
            )

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres", user: str = "admin", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """The url of a new, empty one."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, url: str | None = None) -> list[tuple[Any, ...]]:
        """Execute one statement as the superuser; its rows."""
        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def cut_connections(self, url: str) -> int:
        """End every session with this database, as an operator may; how many there were."""
        name = make_url(url).database
        query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        return len(self.execute(query))

    def start(self) -> None:
        self._run("pg_ctl", "start", "-w", "-D", self._data, "-l", self.folder / "log")

    def restart(self) -> None:
        """As after a crash: without any farewell, and with recovery."""
        self._run("pg_ctl", "restart", "-w", "-m", "immediate", "-D", self._data, "-l", self.folder / "log")

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", self._data)

    def _run(self, program: str, *arguments: object) -> None:
        with (self.folder / "programs.log").open("ab") as log:
            subprocess.run(
                [str(self._programs / program), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=log,  # not a pipe: the server would keep it open
                stderr=log,
                check=True,
                cwd=self.folder,
                **self._options,
            )


@contextmanager
def postgresql_cluster() -> Iterator[Cluster]:
    """A running one, which is gone at the end; skips where PostgreSQL is not installed."""
    if not BINARIES:
        pytest.skip("needs the programs of a PostgreSQL server, such as /usr/lib/postgresql/15/bin/initdb")
    folder = Path(tempfile.mkdtemp(prefix="myntverk-pg-"))  # pytest's own folders are closed to other users
    try:
        cluster = Cluster(BINARIES[-1].parent, folder)
        cluster.start()
        try:
            yield cluster
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
