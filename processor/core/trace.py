"""W3C trace context, so that a consumer's log lines can be joined to the webhook that caused them.

Source: https://www.w3.org/TR/trace-context/
"""


def traceparent(random: bytes) -> str:
    """A sampled trace that starts here, made of 24 random bytes."""
    return f"00-{random[:16].hex()}-{random[16:24].hex()}-01"
