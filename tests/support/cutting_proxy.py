"""Stands between a program and its PostgreSQL, and cuts the connection at the worst moment: around a COMMIT.

Or it keeps the connection and passes no answer on, as when the server stands still."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy.engine import make_url

COMMIT = b"COMMIT\0"
"""How the end of the query message that commits reads on the wire."""
BYTES_MAX = 65_536
UNDER_WAY_SECONDS = 0.02
ANSWER_SECONDS_MAX = 10.0


class Cut(StrEnum):
    """When the connection is cut."""

    BEFORE = "before the COMMIT reaches the server"
    UNDER_WAY = "while the server commits"
    AFTER = "when the server has answered, before the answer is passed on"
    NEVER = "the connection stays, the answer does not come"


@dataclass
class _Line:
    """A connection through the proxy."""

    client: socket.socket
    server: socket.socket
    is_deaf: bool = False
    """Nothing that the server says is passed on any more."""
    answered: threading.Event = field(default_factory=threading.Event)
    """The server has said something that was not passed on."""

    def close(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class CuttingProxy:
    """Passes everything on; cuts once for each time it is armed."""

    def __init__(self, host: str, port: int) -> None:
        self.cuts = 0
        self._server = (host, port)
        self._cut: Cut | None = None
        self._then_hold = False
        self._answering = threading.Event()
        self._answering.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, cut: Cut, then_hold: bool = False) -> None:
        """Cut the next connection that commits; with `then_hold` no other is answered from then on."""
        self._then_hold = then_hold
        self._cut = cut

    def hold_answers(self) -> None:
        """From now on nobody is answered, whatever is asked: connections can be made, and nothing comes."""
        self._answering.clear()

    def let_answers_go(self) -> None:
        self._answering.set()

    def close(self) -> None:
        self.let_answers_go()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                line = _Line(client, socket.create_connection(self._server))
                for serve in (self._pass_questions, self._pass_answers):
                    threading.Thread(target=serve, args=(line,), daemon=True).start()

    def _pass_questions(self, line: _Line) -> None:
        with suppress(OSError):
            while data := line.client.recv(BYTES_MAX):
                cut = self._cut if data.endswith(COMMIT) else None
                if cut is not None:
                    self._cut = None
                    self.cuts += 1
                    line.is_deaf = True
                    if self._then_hold:
                        self.hold_answers()
                    if cut is not Cut.BEFORE:
                        line.server.sendall(data)
                    if cut is Cut.NEVER:
                        continue
                    if cut is Cut.UNDER_WAY:
                        time.sleep(UNDER_WAY_SECONDS)
                    if cut is Cut.AFTER:
                        assert line.answered.wait(ANSWER_SECONDS_MAX)
                    break
                line.server.sendall(data)
        line.close()

    def _pass_answers(self, line: _Line) -> None:
        with suppress(OSError):
            while data := line.server.recv(BYTES_MAX):
                if line.is_deaf:
                    line.answered.set()
                    return
                self._answering.wait()
                line.client.sendall(data)
        line.close()


@contextmanager
def cutting_proxy(url: str) -> Iterator[tuple[CuttingProxy, str]]:
    """A proxy to the PostgreSQL of a url, and the url that leads through it."""
    target = make_url(url)
    assert target.host is not None
    proxy = CuttingProxy(target.host, target.port or 5432)
    try:
        yield proxy, target.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    finally:
        proxy.close()
