"""Where the plant's file may say that the ledger is kept; a password never stands there and is never repeated."""

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from config.plant import load_plant
from core.errors import Misconfigured
from ledger.settings import with_password

SECRETS = ("hunter2", "s3cret")


def load(folder: Path, ledger: str) -> str:
    path = folder / "factory.yaml"
    path.write_text(f"plant: {{name: P}}\nledger: {ledger}\n")
    return load_plant(path).ledger.url


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///data/myntverk.db",
        "sqlite:////srv/line-1.db",
        "postgresql:///myntverk",
        "postgresql://db.plant.example/myntverk",
        "postgresql://myntverk@db/myntverk",
        "postgresql://myntverk@db:5433/myntverk?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://myntverk%40plant@[::1]:5433/myntverk",
        "postgresql:///myntverk?host=/var/run/postgresql",
    ],
)
def test_a_sqlite_file_and_a_postgresql_are_taken(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, f"{{url: '{url}'}}") == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://myntverk:hunter2@db/myntverk",
        "postgresql://:hunter2@db/myntverk",
        "postgresql://myntverk:hunter2/s3cret@db/myntverk",
        "postgresql://myntverk:hunter2#s3cret@db/myntverk",
        "postgresql://myntverk:hunter2?s3cret@db/myntverk",
        "postgresql://myntverk:hunter2@s3cret@db/myntverk",
        "postgresql://myntverk@db/myntverk?password=hunter2",
        "postgresql://myntverk@db/myntverk?sslmode=require&sslpassword=hunter2",
        "postgresql://db/myntverk?user=myntverk&Password=hunter2",
    ],
)
def test_a_password_in_the_url_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    with pytest.raises(Misconfigured) as wrong:
        load(tmp_path, f"{{url: '{url}'}}")
    (problem,) = wrong.value.problems
    assert "environment variable MYNTVERK_POSTGRES_PASSWORD" in problem.message
    assert (problem.path, problem.line, problem.column) == ("ledger.url", 2, 15)
    assert not [secret for secret in SECRETS if secret in str(problem)]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://myntverk@db", "expected a database such as 'postgresql://user@host/database'"),
        ("postgresql://db:port/myntverk", "expected a database such as"),
        ("postgresql://d b/myntverk", "expected a database such as"),
        ("postgresql:///myntverk?options=-c", "unknown option 'options'; expected some of application_name, host"),
        ("postgres://db/myntverk", "got 'postgres'"),
        ("postgresql+psycopg://db/myntverk", "got 'postgresql+psycopg'"),
        ("mysql://root:hunter2@db/myntverk", "got 'mysql'"),
        ("sqlite:///", "a ledger must outlive the process"),
        ("sqlite:///:memory:", "a ledger must outlive the process"),
    ],
)
def test_another_url_is_refused_and_says_what_was_expected(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(Misconfigured) as wrong:
        load(tmp_path, f"{{url: '{url}'}}")
    assert said in str(wrong.value)
    assert "hunter2" not in str(wrong.value)


def test_a_url_with_a_password_in_the_wrong_place_is_not_repeated_either(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as wrong:
        load(tmp_path, "postgresql://myntverk:hunter2@db/myntverk")
    assert "got 'postgresql://myntverk:***@db/myntverk'" in str(wrong.value)


@pytest.mark.parametrize("password", ["s3cret", "a@b:c/d?e#f%20 å"])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://myntverk@db:5433/myntverk?sslmode=require",
        "postgresql://myntverk%40plant@db/myntverk",
        "postgresql://db/myntverk",
        "postgresql:///myntverk",
    ],
)
def test_the_database_gets_the_password_and_nothing_else_changes(url: str, password: str) -> None:
    before, after = make_url(url), make_url(with_password(url, password))
    assert after.password == password
    for part in ("username", "host", "port", "database", "query"):
        assert (getattr(after, part) or None) == (getattr(before, part) or None)
    assert password not in str(after)


def test_no_password_is_put_where_none_belongs() -> None:
    assert with_password("postgresql://myntverk@db/myntverk", "") == "postgresql://myntverk@db/myntverk"
    assert with_password("sqlite:///data/myntverk.db", "s3cret") == "sqlite:///data/myntverk.db"


@pytest.mark.parametrize("name", ["Main", "1st", "a_b", "å", "-", f"a{63 * 'b'}"])
def test_a_gateway_has_a_name_like_an_id(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match=r"ledger\.gateway: expected text like"):
        load(tmp_path, f"{{gateway: '{name}'}}")
