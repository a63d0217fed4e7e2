"""Everything that an operator sets: its sections, how it is loaded, how it is listed."""
