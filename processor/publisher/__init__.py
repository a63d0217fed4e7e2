"""Committed events out to the broker: the port, and its two adapters; and how messages of anybody are taken."""
