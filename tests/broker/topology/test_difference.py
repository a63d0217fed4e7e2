"""What separates two topologies, where the broker says less than it could."""

from dataclasses import replace

import pytest

from processor.broker.topology.desired import desired
from processor.broker.topology.difference import compare
from processor.broker.topology.objects import Actual, Policy

WANTED = desired()


def actual(*others: Policy) -> Actual:
    """As 4.0 to 4.2 answer without statistics: which policy rules a queue is left out.

    Source: https://github.com/rabbitmq/rabbitmq-server/issues/15182.
    """
    topology = replace(WANTED, policies=(*WANTED.policies, *others))
    return Actual(topology=topology, policy_of_exchange={}, policy_of_queue={})


@pytest.mark.parametrize(
    ("pattern", "apply_to", "priority", "ruled"),
    [
        ("dead$", "queues", 11, 4),
        ("dead$", "quorum_queues", 11, 4),
        ("", "all", 11, 20),
        ("app-state", "exchanges", 11, 0),
        ("app-state", "classic_queues", 11, 0),
        ("app-state", "queues", 9, 0),
        ("(unread", "queues", 11, 19),
    ],
)
def test_policy_that_overrides_ours_is_told(pattern: str, apply_to: str, priority: int, ruled: int) -> None:
    """With more priority, for the same objects, by name: then a limit of ours is none."""
    other = Policy(name="theirs", pattern=pattern, apply_to=apply_to, definition={}, priority=priority)
    found = compare(WANTED, actual(other)).changes

    assert len(found) == ruled
    assert {(change.action, "'theirs'" in change.details[0]) for change in found} <= {("conflict", True)}


def test_nothing_is_told_without_rivals() -> None:
    """Policies are right if nobody overrides them."""
    assert compare(WANTED, actual()).clean
