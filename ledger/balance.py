"""What an account holds."""

from __future__ import annotations

from dataclasses import dataclass

from core.money import Money
from ledger.account import Account
from ledger.transfer import Transfer


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """One account after batch `seq` of its book: totals since it was opened, and its last transfer."""

    account: Account
    total_in: Money
    total_out: Money
    seq: int
    last_transfer: Transfer | None = None

    @property
    def balance(self) -> Money:
        return self.total_in - self.total_out

    @property
    def available(self) -> Money:
        """What may still be paid: the balance down to the floor."""
        return self.balance - self.account.floor
