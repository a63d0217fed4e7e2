"""Webhooks in: authenticate, parse, record, answer."""
