"""``Retry-After`` of HTTP answers, and the delays of a backoff one after another."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from processor.core.retry import Backoff, parse_retry_after

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("17", timedelta(seconds=17)),
        (" 0 ", timedelta(0)),
        ("86399", timedelta(seconds=86_399)),
        ("86401", timedelta(days=1)),
        ("999999999", timedelta(days=1)),
        ("1000000000", None),
        ("Fri, 02 Jan 2026 03:05:05 GMT", timedelta(seconds=60)),
        ("Fri, 02 Jan 2026 03:05:05", timedelta(seconds=60)),
        ("Fri, 02 Jan 2026 03:00:00 GMT", timedelta(0)),
        ("Sat, 03 Jan 2026 03:04:06 GMT", timedelta(days=1)),
        ("Mon, 1 Jan 0001 00:00:00 +2359", timedelta(0)),
        ("Wed, 99 Foo 2026 25:61:61 GMT", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("²", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, wait: timedelta | None) -> None:
    """A wait of at most a day is read from both forms, and None from anything else."""
    assert parse_retry_after(value, NOW) == wait


def test_delays_follow_the_attempts() -> None:
    """The first delay is that of the first attempt, and each has a jitter of its own."""
    chances = iter([0.0, 1.0, 0.0])
    delays = Backoff(first=timedelta(seconds=1), cap=timedelta(seconds=3)).delays(lambda: next(chances))

    assert [delay.total_seconds() for delay in islice(delays, 3)] == [1.0, 1.0, 3.0]
