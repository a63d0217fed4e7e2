"""Which queue still has to confirm which event, and when an event is tried again."""
