"""W3C trace context, so that a consumer's log lines can be joined to the webhook that caused them.

Source: https://www.w3.org/TR/trace-context/
"""

from typing import Final

TRACE_BYTES: Final = 24
"""Random bytes for one trace."""
_DIGITS: Final = 2 * TRACE_BYTES


def traceparents(random: bytes) -> list[str]:
    """Sampled traces that start here, one for each `TRACE_BYTES` of ``random``."""
    digits = random.hex()
    starts = range(0, len(digits), _DIGITS)
    return [f"00-{digits[start : start + 32]}-{digits[start + 32 : start + _DIGITS]}-01" for start in starts]
