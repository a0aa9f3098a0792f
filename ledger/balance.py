"""What an account holds."""

from __future__ import annotations

from dataclasses import dataclass

from core.money import Money
from ledger.account import Account
from ledger.transfer import Transfer


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """One account after batch `seq` of its book: totals since it was opened, what is held, and its last transfer."""

    account: Account
    total_in: Money
    total_out: Money
    seq: int
    last_transfer: Transfer | None = None
    held_units: int = 0

    @property
    def balance(self) -> Money:
        """What came in less what went out; held money is still in it."""
        return self.total_in - self.total_out

    @property
    def held(self) -> Money:
        """Reserved by open holds."""
        return Money(self.held_units, self.account.currency)

    @property
    def available(self) -> Money:
        """What may still be paid: the balance less what is held, down to the floor."""
        return self.balance - self.held - self.account.floor
