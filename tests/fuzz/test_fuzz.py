from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.targets import TARGETS

FEW = 20


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_strangers_send_raises_what_is_not_promised(name: str) -> None:
    """Inputs that are nearly right are taken or refused, the same ones in each run, and enough of both."""
    target = TARGETS[name]
    taken: Counter[bool] = Counter()

    @settings(max_examples=target.examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=target.inputs)
    def feed(data: bytes) -> None:
        taken[target.run(data)] += 1

    feed()

    assert taken[True] > FEW
    assert taken[False] > FEW


def test_a_defect_is_found() -> None:
    """A reader that fails at one odd value, planted here, does not get through."""

    @settings(max_examples=1_000, derandomize=True, deadline=None, database=None)
    @given(data=TARGETS["status"].inputs)
    def feed(data: bytes) -> None:
        if b"undefined" in data:
            raise RecursionError

    with pytest.raises(RecursionError):
        feed()
