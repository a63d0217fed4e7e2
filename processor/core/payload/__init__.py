"""The life of a payload: an outcome is decided here."""
