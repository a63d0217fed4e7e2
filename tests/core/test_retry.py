"""Whether and when to try again."""

from datetime import timedelta

import pytest

from processor.core.errors import Denied, LookupFailed, NormalizeError, NotFound, StoreUnavailable, Unavailable
from processor.core.retry import (
    CONNECT,
    IDEMPOTENT,
    LOOKUP,
    LOOKUP_PATIENCE,
    PUBLISH,
    REQUEST,
    REQUEST_ATTEMPTS,
    STORE,
    Backoff,
    decide_lookup,
    decide_request,
)
from processor.core.retry import REFUSED as REFUSED_BY_QUEUE

BACKOFF = Backoff(first=timedelta(seconds=0.25), cap=timedelta(seconds=30))


def test_delays_double_up_to_the_cap() -> None:
    """Each failure in a row doubles the pause, and no number of them makes it longer than the cap."""
    delays = [BACKOFF.delay(attempt, 0.0).total_seconds() for attempt in (1, 2, 3, 7, 8, 9, 5000)]

    assert [0.25, 0.5, 1.0, 16.0, 30.0, 30.0, 30.0] == delays


def test_jitter_takes_up_to_half_away() -> None:
    """Those that failed together do not come back together, nor at once."""
    delays = [BACKOFF.delay(9, chance).total_seconds() for chance in (0.0, 0.5, 1.0)]

    assert [30.0, 22.5, 15.0] == delays


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        (None, timedelta(seconds=2)),
        (NotFound("not yet"), timedelta(seconds=2)),
        (Unavailable("later"), timedelta(seconds=2)),
        (Unavailable("later", retry_after=timedelta(seconds=90)), timedelta(seconds=90)),
        (Unavailable("later", retry_after=timedelta(milliseconds=1)), timedelta(seconds=2)),
        (Unavailable("next year", retry_after=timedelta(days=365)), LOOKUP.cap),
        (Denied("wrong secret"), LOOKUP.cap),
        (NormalizeError("odd answer"), LOOKUP.cap),
    ],
)
def test_lookup_is_tried_again_when_it_may_help(error: LookupFailed | NormalizeError | None, delay: timedelta) -> None:
    """Soon if all is well, as late as was asked for within reason, and slowly where somebody must mend something."""
    decision = decide_lookup(error, attempt=1, age=timedelta(0), chance=0.0)

    assert delay == decision.delay


def test_lookup_is_given_up_after_a_day() -> None:
    """An outcome that nobody can tell by then is a case for a human."""
    decision = decide_lookup(None, attempt=9, age=LOOKUP_PATIENCE, chance=0.0)

    assert decision.delay is None


LATER = Unavailable("later")
REFUSED = Unavailable("refused", untouched=True)
ASKED = Unavailable("busy", retry_after=timedelta(seconds=5), untouched=True)


@pytest.mark.parametrize(
    ("error", "method", "attempt", "delay"),
    [
        (LATER, "GET", 1, REQUEST.first),
        (LATER, "DELETE", 2, REQUEST.first * 2),
        (LATER, "POST", 1, None),
        (REFUSED, "POST", 1, REQUEST.first),
        (ASKED, "POST", 1, timedelta(seconds=5)),
        (REFUSED, "POST", REQUEST_ATTEMPTS, None),
        (LATER, "GET", REQUEST_ATTEMPTS, None),
        (NotFound("no such payload"), "GET", 1, None),
        (Denied("wrong secret"), "GET", 1, None),
    ],
)
def test_request_is_repeated_where_it_does_no_harm(
    error: LookupFailed, method: str, attempt: int, delay: timedelta | None
) -> None:
    """By method, by what certainly did not happen, and a few times only."""
    decision = decide_request(error, method=method, attempt=attempt, left=timedelta(seconds=10), chance=0.0)

    assert delay == decision.delay


def test_request_is_not_repeated_past_the_patience() -> None:
    """A pause that lasts longer than somebody waits is not begun."""
    decision = decide_request(ASKED, method="GET", attempt=1, left=timedelta(seconds=5), chance=0.0)

    assert decision.delay is None


@pytest.mark.parametrize(
    ("backoff", "first", "cap"),
    [
        (LOOKUP, 2, 600),
        (CONNECT, 0.25, 30),
        (PUBLISH, 0.2, 15),
        (STORE, 0.25, 5),
        (REFUSED_BY_QUEUE, 1, 60),
        (REQUEST, 0.3, 3),
    ],
)
def test_pauses(backoff: Backoff, first: float, cap: float) -> None:
    """The first and the longest of each kind, in seconds; chance takes half away at most."""
    pauses = [backoff.delay(attempt, chance).total_seconds() for attempt, chance in ((1, 0), (99, 0), (99, 1))]

    assert [first, cap, cap / 2] == pauses


def test_patience() -> None:
    """A request is tried four times, an outcome is looked up for a day."""
    assert (4, timedelta(hours=24)) == (REQUEST_ATTEMPTS, LOOKUP_PATIENCE)
    assert frozenset({"GET", "DELETE"}) == IDEMPOTENT


def test_lookup_goes_on_to_the_last_moment() -> None:
    """A second before its day is over it is tried again; the pause grows and has its chance."""
    early = decide_lookup(None, attempt=2, age=LOOKUP_PATIENCE - timedelta(seconds=1), chance=0.5)
    busy = Unavailable("busy", retry_after=timedelta(seconds=1))

    assert timedelta(seconds=3) == early.delay
    assert timedelta(seconds=3) == decide_lookup(busy, attempt=2, age=timedelta(0), chance=0.5).delay


def test_request_is_repeated_within_the_patience() -> None:
    """The last moment is not enough, the one before is; the pause has its chance."""
    left = timedelta(seconds=5, milliseconds=1)

    assert timedelta(seconds=5) == decide_request(ASKED, method="POST", attempt=3, left=left, chance=0.0).delay
    assert REQUEST.first * 0.75 == decide_request(LATER, method="GET", attempt=1, left=left, chance=0.5).delay


def test_error_says_what_is_known() -> None:
    """By default neither when to come again nor that nothing was touched."""
    assert ("busy", None, False) == (
        str(Unavailable("busy")),
        Unavailable("busy").retry_after,
        Unavailable("x").untouched,
    )
    assert ("disk", "failed") == (str(StoreUnavailable("disk")), StoreUnavailable("disk").fault)
