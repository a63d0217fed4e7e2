"""Tells the user's own devices what became of a sign request."""

from consumers.push.consumer import Push

__all__ = ("Push",)
