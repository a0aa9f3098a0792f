"""The change feed: what the ledger's batches changed, newest state per account, for those who show it."""

from __future__ import annotations

import asyncio

from ledger.account import AccountId
from ledger.append import Committed
from ledger.balance import AccountStatus


class ChangeFeed:
    """Coalesces: a reader that is slow skips states, never the newest one, and memory is bounded by the accounts.

    `offer` may be called from any thread; `changes` is awaited in the loop that made the feed. A batch may be offered
    twice and late: what is older than what is known changes nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed: dict[AccountId, AccountStatus] = {}
        self._seqs: dict[AccountId, int] = {}
        self._newest: Committed | None = None
        self._news = asyncio.Event()

    def offer(self, committed: Committed) -> None:
        self._loop.call_soon_threadsafe(self._take, committed)

    async def changes(self) -> tuple[Committed, list[AccountStatus]]:
        """Wait for a commit; answers the newest one and every account that changed since the last call."""
        await self._news.wait()
        self._news.clear()
        changed, self._changed = list(self._changed.values()), {}
        assert self._newest is not None
        return self._newest, changed

    def _take(self, committed: Committed) -> None:
        for status in committed.statuses:
            if self._seqs.get(status.account.id, -1) < status.seq:
                self._seqs[status.account.id] = status.seq
                self._changed[status.account.id] = status
        if self._newest is None or self._newest.head.seq <= committed.head.seq:
            self._newest = committed
        self._news.set()
