"""A PostgreSQL that asks for a password gets it from the environment; the plant's file does not know it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_plants import plant_of
from ledgers import account, open_book

from app import wiring
from config.plant import load_plant
from core.errors import Unavailable
from tests.support.postgresql_cluster import PASSWORD, postgresql_cluster

VARIABLES = ("MYNTVERK_POSTGRES_PASSWORD", "PGPASSWORD", "PGPASSFILE")


def test_the_password_comes_from_our_variable_or_from_libpq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def environment(**variables: str) -> None:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    with postgresql_cluster() as cluster:
        url = cluster.create_database()
        with open_book(url) as book:
            book.open(account("a"))
        plant = plant_of(tmp_path, url.replace(f":{PASSWORD}@", "@"))
        environment()
        refused = plant.run("accounts").exception
        assert isinstance(refused, Unavailable)
        assert "no password supplied" in str(refused)
        environment(MYNTVERK_POSTGRES_PASSWORD="wrong-horse", PGPASSWORD=PASSWORD)
        wrong = plant.run("accounts").exception
        assert isinstance(wrong, Unavailable)
        assert "password authentication failed" in str(wrong)
        assert "horse" not in str(wrong)
        for variables in (
            {"MYNTVERK_POSTGRES_PASSWORD": PASSWORD},
            {"MYNTVERK_POSTGRES_PASSWORD": PASSWORD, "PGPASSWORD": "wrong-horse"},
            {"PGPASSWORD": PASSWORD},
        ):
            environment(**variables)
            assert len(plant.lines("accounts")) == 1
        passfile = tmp_path / "pgpass"
        passfile.write_text(f"*:*:*:*:{PASSWORD}\n")
        passfile.chmod(0o600)
        environment(PGPASSFILE=str(passfile))
        assert plant.lines("verify")[0] == "verified: 0 transfers in 1 batches; balances add up to 0.000000 SEK"


def test_beside_a_postgresql_the_other_data_is_in_a_folder_of_its_own(tmp_path: Path) -> None:
    plant = load_plant(plant_of(tmp_path, "postgresql:///myntverk").file)
    assert wiring.data_directory(plant, None) == tmp_path / "data"
    assert wiring.data_directory(plant, Path("elsewhere")) == Path("elsewhere")
    on_sqlite = load_plant(plant_of(tmp_path, "sqlite:///books/line.db").file)
    assert wiring.data_directory(on_sqlite, None) == tmp_path / "books"
    assert wiring.data_directory(on_sqlite, Path("/elsewhere")) == Path("/elsewhere")
