"""Sockets in: which payloads are watched, and what their sockets say."""
