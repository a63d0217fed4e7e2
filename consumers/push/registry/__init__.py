"""Which devices belong to whom."""
