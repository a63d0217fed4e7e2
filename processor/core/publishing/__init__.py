"""Which queue is owed which event."""
