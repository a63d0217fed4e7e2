"""A sign request before it is sent to Xumm."""
