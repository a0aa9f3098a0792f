"""Users, what each may do, and their passwords as argon2 hashes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.errors import Misconfigured, Problem
from ledger.account import AccountId
from opcua_server.settings import UserSettings

PASSWORD_CHARACTERS_MAX = 1_000

_HASHER = PasswordHasher()


class Role(StrEnum):
    """After the well-known roles of OPC UA Part 18. All of them read; only an operator pays."""

    ANONYMOUS = "anonymous"
    OBSERVER = "observer"
    OPERATOR = "operator"
    ENGINEER = "engineer"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a session speaks for. `pays_from` names the accounts this caller may draw on; empty means none."""

    name: str
    role: Role
    pays_from: frozenset[AccountId] = frozenset()


ANONYMOUS = Caller("", Role.ANONYMOUS)


@dataclass(frozen=True, slots=True)
class User:
    """A caller with a password, known by its argon2 hash alone."""

    caller: Caller
    password_hash: str

    @property
    def name(self) -> str:
        return self.caller.name


class Passwords:
    """Who a name and a password belong to. Takes tens of milliseconds by design: call it in a thread."""

    def __init__(self, users: Iterable[User]) -> None:
        self._users = {user.name: user for user in users}
        # An unknown name takes as long as a wrong password, so that names cannot be found out by timing.
        self._nobody = hash_password(secrets.token_hex())

    def verify(self, name: str, password: str) -> Caller | None:
        """The caller, or None when the name or the password is wrong."""
        if len(password) > PASSWORD_CHARACTERS_MAX:
            return None
        user = self._users.get(name)
        expected = user.password_hash if user is not None else self._nobody
        try:
            _HASHER.verify(expected, password)
        except VerificationError:
            return None
        return user.caller if user is not None else None


def hash_password(password: str) -> str:
    """The argon2id hash to store; salted, so the same password never gives the same text twice."""
    if not 1 <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise ValueError(f"expected a password of 1 to {PASSWORD_CHARACTERS_MAX} characters, got {len(password)}")
    return _HASHER.hash(password)


def write_password_file(path: Path, password: str) -> None:
    """Put the hash of a password in a file that only its owner reads; an older file is replaced in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(hash_password(password) + "\n")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def load_users(settings: Mapping[str, UserSettings], folder: Path, environment: Mapping[str, str]) -> tuple[User, ...]:
    """Every user with the hash from its file (relative to `folder`) or variable; Misconfigured names all that fail."""
    users: list[User] = []
    problems: list[Problem] = []
    for name, user in settings.items():
        try:
            password_hash = _stored_hash(user, folder, environment)
        except ValueError as error:
            problems.append(Problem(str(error), path=f"users.{name}"))
        else:
            users.append(User(Caller(name, Role(user.role), frozenset(user.pays_from)), password_hash))
    if problems:
        raise Misconfigured(problems)
    return tuple(users)


def _stored_hash(user: UserSettings, folder: Path, environment: Mapping[str, str]) -> str:
    if user.password_file is not None:
        place = f"file {folder / user.password_file}"
        try:
            text = (folder / user.password_file).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise ValueError(
                f"cannot read the password {place}: {reason}; write it with: myntverk user add NAME --plant FILE"
            ) from error
    else:
        place = f"environment variable {user.password_env}"
        text = environment.get(user.password_env or "", "")
    found = text.strip()
    try:
        argon2id = found.startswith("$argon2id$") and _HASHER.check_needs_rehash(found) in (True, False)
    except InvalidHashError:
        argon2id = False
    if not argon2id:  # what was found is not shown: it may be a password that somebody put there in plain text
        raise ValueError(
            f"expected an argon2 hash beginning with $argon2id$ in {place}; "
            "write one with: myntverk user add NAME --plant FILE"
        )
    return found
