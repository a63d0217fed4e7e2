"""Committed events out to the broker, in order for each payload."""
