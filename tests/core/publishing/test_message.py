"""Trace contexts."""

import pytest

from processor.core.publishing.message import TRACE_BYTES, traceparents

ONE = bytes(range(1, 25))


def test_traceparent() -> None:
    """Version 00, 16 bytes of trace, 8 bytes of span, sampled: as W3C writes it."""
    expected = "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01"

    assert (24, [expected]) == (TRACE_BYTES, traceparents(ONE))


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_one_trace_for_each_piece_of_chance(count: int) -> None:
    """Each trace has its own bytes, in their order."""
    pieces = [bytes([number]) * TRACE_BYTES for number in range(count)]

    assert [trace for piece in pieces for trace in traceparents(piece)] == traceparents(b"".join(pieces))
