from datetime import timedelta

import pytest

from processor.broker.topology.desired import desired
from processor.broker.topology.objects import Binding, Policy
from processor.settings.sections import TopologySettings


def _policy(name: str, options: TopologySettings | None = None) -> Policy:
    (policy,) = (policy for policy in desired(options=options).policies if policy.name == name)
    return policy


def test_every_queue_says_its_type_and_nothing_else() -> None:
    """Whatever may change is policy, so that no argument ever stands in the way."""
    topology = desired()

    assert {queue.name: dict(queue.arguments) for queue in topology.queues} == {
        "xumm.unrouted": {"x-queue-type": "quorum"},
        **{
            name + suffix: {"x-queue-type": "quorum"}
            for name in ("push-notifications", "app-state", "push-devices")
            for suffix in ("", ".dead", ".retry.10s", ".retry.60s", ".retry.600s")
        },
        "xumm.watch": {"x-queue-type": "quorum"},
        "xumm.watch.dead": {"x-queue-type": "quorum"},
        "xumm.log": {"x-queue-type": "stream"},
    }
    assert all(not exchange.arguments for exchange in topology.exchanges)


def test_every_queue_is_bounded_by_a_policy_of_its_own() -> None:
    """Each queue has exactly one policy, whose pattern matches nothing else."""
    topology = desired()

    assert sorted(policy.name for policy in topology.policies if policy.apply_to == "queues") == sorted(
        queue.name for queue in topology.queues
    )
    assert _policy("xumm.log").pattern == r"^xumm\.log$"


def test_dead_letters_of_quorum_queues_are_safe() -> None:
    """Wherever a policy dead-letters, it does so at least once, which needs reject-publish."""
    safe = [
        (policy.definition.get("dead-letter-strategy"), policy.definition.get("overflow"))
        for policy in desired().policies
        if "dead-letter-exchange" in policy.definition
    ]

    assert safe == [("at-least-once", "reject-publish")] * 13


def test_a_new_queue_brings_its_ways_out() -> None:
    """A configured queue gets dead letters, retries and its bindings, the way out before the way in."""
    bindings = desired({"billing": ("shop.resolve.*", "#.signed")}, TopologySettings(log=False)).bindings

    assert [(each.exchange, each.queue, each.routing_key) for each in bindings] == [
        ("xumm.unrouted", "xumm.unrouted", ""),
        ("xumm.dead", "billing.dead", "billing"),
        ("xumm.retry", "billing.retry.10s", "billing.retry.10s"),
        ("xumm.retry", "billing.retry.60s", "billing.retry.60s"),
        ("xumm.retry", "billing.retry.600s", "billing.retry.600s"),
        ("xumm.events", "billing", "shop.resolve.*"),
        ("xumm.events", "billing", "#.signed"),
        ("xumm.dead", "push-devices.dead", "push-devices"),
        ("xumm.retry", "push-devices.retry.10s", "push-devices.retry.10s"),
        ("xumm.retry", "push-devices.retry.60s", "push-devices.retry.60s"),
        ("xumm.retry", "push-devices.retry.600s", "push-devices.retry.600s"),
        ("xumm.commands", "push-devices", "push-devices"),
        ("xumm.dead", "xumm.watch.dead", "xumm.watch"),
    ]


def test_no_event_queue_gets_device_tokens() -> None:
    """The exchange for commands has one queue, and no stream, alternate exchange or pattern beside it."""
    topology = desired()

    assert [each for each in topology.bindings if each.exchange == "xumm.commands"] == [
        Binding(exchange="xumm.commands", queue="push-devices", routing_key="push-devices")
    ]
    assert [each.type for each in topology.exchanges if each.name == "xumm.commands"] == ["direct"]
    assert "xumm.commands" not in {policy.name for policy in topology.policies}


def test_no_queue_drops_what_is_looked_at() -> None:
    """A queue that dead-letters nothing has no delivery limit that anybody reaches, whatever the broker has."""
    limits = {
        policy.name: policy.definition.get("delivery-limit", 0)
        for policy in desired().policies
        if policy.apply_to == "queues" and policy.name != "xumm.log"
    }
    parking = {
        name: limit for name, limit in limits.items() if name.endswith((".dead", "0s")) or name == "xumm.unrouted"
    }

    assert (len(limits), len(parking)) == (18, 14)
    assert set(parking.values()) == {1_000_000_000}
    assert limits["xumm.watch"] == 1_000_000_000


def test_options_become_policies() -> None:
    """Limits and durations show in the definitions, in the broker's units."""
    options = TopologySettings(
        queue_max_length=7, delivery_limit=3, dead_ttl=timedelta(hours=1), log_max_age=timedelta(days=2)
    )

    assert _policy("app-state", options).definition == {
        "dead-letter-exchange": "xumm.dead",
        "dead-letter-routing-key": "app-state",
        "dead-letter-strategy": "at-least-once",
        "delivery-limit": 3,
        "max-length": 7,
        "overflow": "reject-publish",
    }
    assert _policy("app-state.dead", options).definition["message-ttl"] == 3_600_000
    assert _policy("app-state.retry.60s", options).definition["message-ttl"] == 60_000
    assert _policy("xumm.log", options).definition["max-age"] == "172800s"
    assert _policy("xumm.events", options).definition == {"alternate-exchange": "xumm.unrouted"}


def test_the_log_is_optional() -> None:
    """Without the log there is no stream, and events that nothing is bound for are put aside."""
    topology = desired(options=TopologySettings(log=False))

    assert "xumm.log" not in {queue.name for queue in topology.queues}
    assert Binding(exchange="xumm.events", queue="xumm.log", routing_key="#") not in topology.bindings


@pytest.mark.parametrize(
    ("queues", "complaint"),
    [
        ({"a b": ("#",)}, "queue name 'a b' is not made of letters"),
        ({"": ("#",)}, "queue name '' is not made of letters"),
        ({"a" * 201: ("#",)}, "is not made of letters"),
        ({"billing": ()}, "queue billing has no binding"),
        ({"xumm.log": ("#",)}, "queue names collide: xumm.log"),
        ({"xumm.watch": ("#",)}, "queue names collide: xumm.watch"),
        ({"push-devices": ("#",)}, "queue names collide: push-devices"),
        ({"a": ("#",), "a.dead": ("#",)}, "queue names collide: a.dead"),
    ],
)
def test_bad_queue_names_are_refused(queues: dict[str, tuple[str, ...]], complaint: str) -> None:
    """Names that collide, that nothing is bound to, or that would need quoting are refused before the broker hears."""
    with pytest.raises(ValueError, match=complaint):
        desired(queues)
