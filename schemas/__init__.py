"""The public contract: wire shapes of Xumm and of our events, the envelope, the topology names."""
