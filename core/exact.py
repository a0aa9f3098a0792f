"""The arithmetic of running totals: wide enough that adding and splitting never rounds."""

from __future__ import annotations

from decimal import Context

EXACT = Context(prec=60)
"""Twice the digits of any total and price together; the default context's 28 would round in silence."""
