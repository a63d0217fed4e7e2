"""Command groups of ``consumers``."""
