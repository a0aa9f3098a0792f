"""A gateway's lock on PostgreSQL goes with its connection, and is taken again."""

import pytest
from sqlalchemy import Connection, Engine, text

from core.errors import Unavailable
from ledger import database_lock
from ledger.database import connect, open_engine
from ledger.database_lock import DatabaseLock


def test_a_connection_that_is_cut_while_the_lock_is_taken_again_is_told_and_the_next_try_takes_it(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_at_once(engine: Engine) -> Connection:
        connection = connect(engine)
        (number,) = connection.execute(text("SELECT pg_backend_pid()")).one()
        connection.rollback()
        other = open_engine(postgresql_url)
        with other.begin() as cutting:
            cutting.execute(text("SELECT pg_terminate_backend(:number, 5000)"), {"number": number})
        other.dispose()
        return connection

    lock = DatabaseLock(postgresql_url, "main")
    lock.acquire()
    lock.release()
    with monkeypatch.context() as patch:
        patch.setattr(database_lock, "connect", cut_at_once)
        with pytest.raises(Unavailable, match="locked"):
            lock.keep()
    assert lock.keep()
    assert not lock.keep()
    lock.release()
