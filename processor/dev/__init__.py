"""Everything in one process, for trying it out: service, consumers, and a Xumm of our own. No server, no account."""

from processor.dev.house import run

__all__ = ["run"]
