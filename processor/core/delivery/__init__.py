"""Whether a webhook is believed."""
