"""Whether a sign request may be made, and how it is sent, kept and returned from."""
