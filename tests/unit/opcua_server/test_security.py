"""Passwords are kept as argon2 hashes outside the plant's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Misconfigured
from ledger.account import AccountId
from opcua_server.security import Caller, Passwords, Role, hash_password, load_users, write_password_file
from opcua_server.settings import UserSettings
from tests.unit.opcua_server.bank import users


def test_a_name_and_its_password_give_the_caller() -> None:
    passwords = Passwords(users())
    assert passwords.verify("anna", "anna-secret") == Caller("anna", Role.OPERATOR, frozenset({AccountId("facade-1")}))


@pytest.mark.parametrize(
    ("name", "password"),
    [("anna", "bo-secret"), ("anna", ""), ("", ""), ("nobody", "anna-secret"), ("anna", "x" * 1_001)],
)
def test_a_wrong_name_or_password_gives_nobody(name: str, password: str) -> None:
    assert Passwords(users()).verify(name, password) is None


@pytest.mark.parametrize("password", ["", "x" * 1_001])
def test_a_password_that_nobody_could_log_in_with_is_not_hashed(password: str) -> None:
    with pytest.raises(ValueError, match="expected a password of 1 to 1000 characters"):
        hash_password(password)


def test_a_written_password_file_lets_its_user_in_and_is_the_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "passwords" / "anna"
    write_password_file(file, "old")
    write_password_file(file, "new")
    settings = {"anna": UserSettings(role="operator", password_file="passwords/anna")}
    loaded = Passwords(load_users(settings, tmp_path, {}))
    assert loaded.verify("anna", "new") is not None
    assert loaded.verify("anna", "old") is None
    assert file.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == ["anna"]


def test_a_hash_may_come_from_the_environment(tmp_path: Path) -> None:
    settings = {"bo": UserSettings(role="observer", password_env="BO")}
    (user,) = load_users(settings, tmp_path, {"BO": hash_password("secret")})
    assert Passwords([user]).verify("bo", "secret") == Caller("bo", Role.OBSERVER)


def test_every_password_that_cannot_be_had_is_told_at_once_and_none_is_shown(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("plain-text-password")
    settings = {
        "anna": UserSettings(role="operator", password_file="missing"),
        "bo": UserSettings(role="operator", password_file="plain"),
        "cia": UserSettings(role="observer", password_env="CIA"),
        "dan": UserSettings(role="observer", password_env="DAN"),
    }
    with pytest.raises(Misconfigured) as caught:
        load_users(settings, tmp_path, {"DAN": "$argon2id$v=19$cut"})
    assert [problem.path for problem in caught.value.problems] == ["users.anna", "users.bo", "users.cia", "users.dan"]
    assert "missing: No such file or directory" in str(caught.value)
    assert "environment variable CIA" in str(caught.value)
    assert "plain-text-password" not in str(caught.value)
