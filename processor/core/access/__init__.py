"""Who calls our own API, what they may do, and how often."""
