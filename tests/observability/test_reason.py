"""Reasons: one bounded line without secrets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.observability.redaction import MAX_REASON, clean_line, describe

TXID = "E08D6E9754025BA2534A78707605E0601F03ACE063687A0CA1BDDACFCD1698C7"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two\nlines\r\n and\ta tab\x00", "two lines and a tab"),
        ("amqp://user:pa55@host:5672/ refused", "amqp://[redacted]@host:5672/ refused"),
        ("Authorization: Bearer ya29.a0AfH6SM", "Authorization: [redacted]"),
        ("sent Bearer ya29.a0AfH6SM to it", "sent Bearer [redacted] to it"),
        ("password=hunter2 for shop", "password=[redacted] for shop"),
        ('{"api_secret": "8a-9b", "shop": 1}', '{"api_secret": "[redacted]", "shop": 1}'),
        ("password='two words, and more' for shop", "password='[redacted]' for shop"),
        (f"device {'dQw4w9WgXcQ' * 5} is gone", "device [redacted] is gone"),
        (f"transaction {TXID} failed", f"transaction {TXID} failed"),
        ("payload 12345678-90ab-4cde-8f01-234567890abc", "payload 12345678-90ab-4cde-8f01-234567890abc"),
    ],
)
def test_reason_is_clean(text: str, expected: str) -> None:
    """Control characters, credentials and token-like runs go; hashes and uuids, which help, stay. Once is enough."""
    assert (clean_line(text), clean_line(clean_line(text))) == (expected, expected)


@given(st.text(st.characters(codec=None), max_size=1000))
def test_reason_is_one_bounded_printable_line(text: str) -> None:
    """Whatever an exception says fits a header and a log line."""
    reason = clean_line(text)

    assert len(reason) <= MAX_REASON
    assert len(reason.splitlines()) <= 1
    assert reason.encode().decode() == reason


def test_only_the_first_line_of_an_error_is_told() -> None:
    """Further lines hold statements, parameters and bodies."""
    assert describe(ValueError("no such row\n[SQL: SELECT 1]")) == "ValueError: no such row"


def test_error_without_a_message_is_told_by_its_class() -> None:
    """A TimeoutError says nothing else."""
    assert describe(TimeoutError()) == "TimeoutError"
