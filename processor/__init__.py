"""The service: what Xumm reports comes in, one dependable stream of events goes out."""

__version__ = "0.1.0"
