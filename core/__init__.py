"""Words every package shares: money, quantity, sample, time, identity, errors. Standard library only."""
