"""Samples become charges, charges become transfers."""
