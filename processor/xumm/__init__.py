"""Xumm's API, its sockets, its keys, and the budget of calls."""
