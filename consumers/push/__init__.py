"""Notifies the devices of a user of what happens to a sign request."""

from consumers.push.consumer import Push

__all__ = ("Push",)
