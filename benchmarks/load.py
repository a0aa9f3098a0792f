"""What the ledger is loaded with: a plant's accounts, works of payments between them; the same for the same seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random

from core.clock import Instant
from core.ids import TransferId
from core.money import SEK, Money
from ledger.account import Account, AccountId, Party, PartyId
from ledger.transfer import TransferRequest

OWNER = Party(PartyId("plant"), "Plant AB")

CREDIT = Money.parse("-1000000000 kr")
TIGHT_EVERY = 20
"""One account in so many has no credit at all: it pays only from what it has received."""
TIGHT_EARNS = 0.7
"""What such an account is paid, as a share of what is asked of it; about one payment in a hundred is refused for it."""

UNITS_MAX = 10**9
"""No payment is above ten kronor."""

START = Instant(1_780_000_000_000_000)
KINDS = [
    (name, f"agreement:{name}", [f"{quantity} {measured}" for quantity in range(1, 10)])
    for name, measured in (
        ("drill-wear", "pieces cell.parts"),
        ("transport", "m agv-7.odometer"),
        ("press-energy", "kWh press-2.energy"),
        ("robot-time", "s robot-cell.running"),
    )
]
"""What is paid for: name, source and texts, as agreements write them."""

IdMaker = Callable[[Random, int, int], list[TransferId]]
"""Ids for a work's requests: source of randomness, the work's number, how many."""


def time_ordered_ids(random: Random, work: int, count: int) -> list[TransferId]:
    """As UUIDv7 orders them: six bytes that count up, ten random ones."""
    head, tails = work.to_bytes(6, "big"), random.randbytes(10 * count)
    return [TransferId(head + tails[place : place + 10]) for place in range(0, 10 * count, 10)]


def random_ids(random: Random, _work: int, count: int) -> list[TransferId]:
    """As UUIDv4: an id says nothing of when it was made."""
    data = random.randbytes(16 * count)
    return [TransferId(data[place : place + 16]) for place in range(0, 16 * count, 16)]


class Load:
    """Accounts and payments between them. Who pays and who is paid follows Zipf's law with exponent 1: of a thousand
    accounts the busiest has an eighth of all."""

    def __init__(self, accounts: int, per_work: int, seed: int = 1, ids: IdMaker = time_ordered_ids) -> None:
        self.accounts = [_account(place) for place in range(accounts)]
        self.per_work = per_work
        self._random = Random(seed)
        self._ids = ids
        weights = [1 / (place + 1) for place in range(accounts)]
        earns = [weight * (TIGHT_EARNS if _is_tight(place) else 1) for place, weight in enumerate(weights)]
        self._debits = list(itertools.accumulate(weights))
        self._credits = list(itertools.accumulate(earns))
        self._names = [account.id for account in self.accounts]
        self._works = 0
        self._made = 0

    def work(self, requests: int | None = None) -> list[TransferRequest]:
        """The next work: requests that a caller hands over together, `per_work` of them unless another number is
        given."""
        count = self.per_work if requests is None else requests
        random, names = self._random, self._names
        self._works += 1
        made: list[TransferRequest] = []
        debits = random.choices(names, cum_weights=self._debits, k=count)
        credits = random.choices(names, cum_weights=self._credits, k=count)
        ids = self._ids(random, self._works, count)
        for number, (id, debit, credit) in enumerate(zip(ids, debits, credits, strict=True), self._made):
            if debit == credit:
                credit = names[(names.index(debit) + 1) % len(names)]
            name, source, texts = KINDS[number % len(KINDS)]
            made.append(
                TransferRequest(
                    id,
                    debit,
                    credit,
                    Money(1 + int(random.random() * UNITS_MAX), SEK),
                    Instant(START + 1_000 * number),
                    texts[number % 9],
                    f"{name}#{number}",
                    source,
                )
            )
        self._made += count
        return made

    def works(self, count: int) -> list[list[TransferRequest]]:
        """So many works, built beforehand."""
        return [self.work() for _ in range(count)]

    def busiest(self, share: int) -> list[AccountId]:
        """The busiest accounts, one in `share` of all."""
        return self._names[: max(len(self._names) // share, 1)]


def _is_tight(place: int) -> bool:
    return place % TIGHT_EVERY == 7


def _account(place: int) -> Account:
    floor = Money.zero(SEK) if _is_tight(place) else CREDIT
    return Account(AccountId(f"machine-{place}"), f"Machine {place}", OWNER.id, floor)
