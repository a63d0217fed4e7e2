"""A webhook is believed or not."""
