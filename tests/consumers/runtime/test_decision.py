"""Decisions: how long a message is put off, and when it is given up."""

from datetime import timedelta

import pytest

from consumers.runtime.decision import GiveUp, PutOff, decide_failed
from consumers.runtime.errors import Fatal, Retry


@pytest.mark.parametrize(
    ("attempts", "after", "seconds"),
    [
        (0, None, 10),
        (1, None, 60),
        (2, None, 600),
        (3, None, 600),
        (0, 10, 10),
        (0, 11, 60),
        (1, 5, 60),
        (0, 9999, 600),
    ],
)
def test_delay_grows_and_heeds_what_was_asked(attempts: int, after: int | None, seconds: int) -> None:
    """Each attempt waits longer, and never less than asked as far as a retry queue goes."""
    error = Retry("busy", after=None if after is None else timedelta(seconds=after))

    assert decide_failed(error, attempts=attempts, max_attempts=5) == PutOff(
        delay=timedelta(seconds=seconds), reason="busy"
    )


@pytest.mark.parametrize(("attempts", "fate"), [(0, PutOff), (3, PutOff), (4, GiveUp), (40, GiveUp)])
def test_last_attempt_is_the_last(attempts: int, fate: type) -> None:
    """After five attempts, the message is dead-lettered, whatever the exception."""
    assert type(decide_failed(KeyError("shop"), attempts=attempts, max_attempts=5)) is fate


def test_fatal_is_fatal_at_once() -> None:
    """A handler that knows better is believed."""
    assert decide_failed(Fatal("never"), attempts=0, max_attempts=5) == GiveUp(reason="never")


def test_unexpected_error_is_named() -> None:
    """The class of the exception helps whoever reads the dead letter."""
    assert decide_failed(KeyError("shop"), attempts=9, max_attempts=5) == GiveUp(reason="KeyError: 'shop'")
