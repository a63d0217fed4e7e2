"""Notifies the devices of a user of the progress and the outcome of a sign request."""

from consumers.push.consumer import Push

__all__ = ("Push",)
