"""The topology on a real RabbitMQ."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from processor.broker.port import Nacked
from processor.broker.rabbitmq import RabbitPublisher
from processor.broker.topology.desired import desired
from processor.broker.topology.management import ManagementAccess, TopologyError, parse_access
from processor.broker.topology.objects import Policy, Topology
from processor.broker.topology.operations import apply, plan, verify
from processor.settings.sections import TopologySettings
from tests.broker.messages import a_message
from tests.servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.rabbitmq

SECONDS = 20


@pytest.fixture
def access(amqp_url: str, rabbitmq: RabbitMQ) -> ManagementAccess:
    return parse_access(rabbitmq.management_url, amqp_url)


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(amqp_url) as connection:
        yield await connection.channel()


@pytest.fixture
async def applied(access: ManagementAccess) -> Topology:
    topology = desired()
    await apply(access, topology)
    return topology


def _api(rabbitmq: RabbitMQ, access: ManagementAccess) -> Callable[..., Any]:
    def call(method: str, kind: str, rest: str = "", body: object = None) -> Any:
        return rabbitmq.api(method, f"{kind}/{access.vhost}{rest}", body)

    return call


def _with_policy(topology: Topology, name: str, **settings: Any) -> Topology:
    def changed(policy: Policy) -> Policy:
        if policy.name != name:
            return policy
        renamed = {key.replace("_", "-"): value for key, value in settings.items()}
        return replace(policy, definition={**policy.definition, **renamed})

    return replace(topology, policies=tuple(map(changed, topology.policies)))


async def _next(channel: AbstractChannel, queue: str) -> AbstractIncomingMessage:
    async with asyncio.timeout(SECONDS), (await channel.get_queue(queue)).iterator() as incoming:
        return await anext(incoming)


async def _outcome(future: "asyncio.Future[None]") -> type | None:
    await asyncio.wait([future])
    return type(future.exception()) if future.exception() else None


async def _publish(channel: AbstractChannel, exchange: str, routing_key: str) -> None:
    message = aio_pika.Message(b"{}", message_id="m1", delivery_mode=2)
    await (await channel.get_exchange(exchange)).publish(message, routing_key)


async def test_everything_is_missing_at_first(access: ManagementAccess) -> None:
    """On an empty virtual host the plan creates each object, and changes nothing itself."""
    topology = desired()

    first = await plan(access, topology)
    second = await plan(access, topology)

    assert {change.action for change in first.changes} == {"create"}
    assert [change.target for change in first.changes] == [
        *topology.policies,
        *topology.exchanges,
        *topology.queues,
        *topology.bindings,
    ]
    assert first == second
    assert not (await verify(access, topology)).clean


async def test_applying_twice_changes_nothing(access: ManagementAccess, applied: Topology) -> None:
    """What was applied verifies, and applying again finds nothing to do."""
    verified = await verify(access, applied)
    again = await apply(access, applied)

    assert (str(verified), verified.clean) == ("The topology is as it should be.", True)
    assert again.changes == ()


async def test_drift_is_noticed_and_mended(
    access: ManagementAccess, applied: Topology, rabbitmq: RabbitMQ, channel: AbstractChannel
) -> None:
    """A deleted queue, a removed binding and a changed policy show by name, and applying brings them back."""
    api = _api(rabbitmq, access)
    await channel.queue_delete("app-state.retry.10s")
    await (await channel.get_queue("push-notifications")).unbind("xumm.events", "*.sign.#")
    policy = {"pattern": "^app-state\\.dead$", "apply-to": "queues", "definition": {"max-length": 5}, "priority": 10}
    api("PUT", "policies", "/app-state.dead", policy)

    drift = await verify(access, applied)
    await apply(access, applied)

    assert [str(change) for change in drift.changes] == [
        "~ update policy app-state.dead\n"  # noqa: ISC004 - one text of six lines
        "      delivery-limit: unset -> 1000000000\n"
        "      max-length: 5 -> 100000\n"
        "      message-ttl: unset -> 2592000000\n"
        "      overflow: unset -> 'reject-publish'\n"
        "      pattern: '^app-state\\\\.dead$' -> '^app\\\\-state\\\\.dead$'",
        "+ create queue app-state.retry.10s",
        "+ create binding xumm.events -> push-notifications by '*.sign.#'",
        "+ create binding xumm.retry -> app-state.retry.10s by 'app-state.retry.10s'",
    ]
    assert (await verify(access, applied)).clean


async def test_a_limit_changes_by_policy_alone(
    access: ManagementAccess, applied: Topology, channel: AbstractChannel
) -> None:
    """A new limit is one update, takes effect, and costs no message that waits."""
    await _publish(channel, "xumm.events", "shop.resolve.signed")

    found = await apply(access, desired(options=TopologySettings(queue_max_length=2)))
    kept = await _next(channel, "app-state")

    assert [(change.action, change.kind, change.name, change.details) for change in found.changes] == [
        ("update", "policy", name, ("max-length: 1000000 -> 2",))
        for name in ("push-notifications", "app-state", "push-devices", "xumm.watch")
    ]
    assert kept.message_id == "m1"


async def test_a_full_queue_refuses_instead_of_dropping(
    access: ManagementAccess, amqp_url: str, channel: AbstractChannel
) -> None:
    """At its limit a consumer's queue makes the broker refuse, so that events wait in the outbox."""
    await apply(access, desired(options=TopologySettings(queue_max_length=2)))
    async with RabbitPublisher(amqp_url) as publisher, asyncio.timeout(SECONDS):
        await publisher.ready()
        outcomes = [await _outcome(publisher.publish(a_message(number, routing_key="a.sign.b"))) for number in range(9)]
    first = await _next(channel, "push-notifications")

    assert (outcomes[0], outcomes[-1]) == (None, Nacked)
    assert first.message_id == a_message(0).id


async def test_looking_at_dead_letters_costs_none(
    access: ManagementAccess, applied: Topology, amqp_url: str, channel: AbstractChannel
) -> None:
    """The queue takes its policy, and a message that is returned more often than any default allows is still there."""
    await _publish(channel, "xumm.dead", "app-state")
    for _ in range(25):
        async with await aio_pika.connect(amqp_url) as connection:
            await _next(await connection.channel(), "app-state.dead")
    left = await _next(channel, "app-state.dead")

    assert (left.message_id, left.headers["x-delivery-count"]) == ("m1", 25)


async def test_another_queue_type_is_a_conflict(
    access: ManagementAccess, channel: AbstractChannel, amqp_url: str
) -> None:
    """What exists with other arguments is explained, left as it is, and everything else is applied."""
    topology = desired()
    await channel.declare_queue("app-state", durable=True)
    await channel.declare_exchange("xumm.dead", "fanout", durable=True)

    await apply(access, topology)
    left = await verify(access, topology)

    assert [str(change) for change in left.changes] == [
        "! conflict exchange xumm.dead\n"  # noqa: ISC004 - one text of three lines
        "      type: 'fanout' -> 'direct'\n"
        "      it cannot be changed in place: move its messages, delete the exchange, apply again",
        "! conflict queue app-state\n"  # noqa: ISC004 - one text of three lines
        "      x-queue-type: unset -> 'quorum'\n"
        "      it cannot be changed in place: move its messages, delete the queue, apply again",
    ]
    assert not left.clean


async def test_an_overriding_policy_is_a_conflict(
    access: ManagementAccess, applied: Topology, rabbitmq: RabbitMQ
) -> None:
    """Another's policy of higher priority takes ours out of force; that shows, with what to do."""
    body = {"pattern": "^app-state$", "apply-to": "queues", "definition": {"max-length": 9}, "priority": 99}
    _api(rabbitmq, access)("PUT", "policies", "/of-somebody", body)

    (change,) = (await verify(access, applied)).changes

    assert str(change) == (
        "! conflict policy app-state\n"
        "      RabbitMQ applies policy 'of-somebody' to it instead; lower that one's priority below 10"
    )


async def test_a_binding_no_longer_wanted_is_reported_and_kept(
    access: ManagementAccess, applied: Topology, channel: AbstractChannel
) -> None:
    """Bindings of our queues that the configuration does not know show as surplus; others' queues do not matter."""
    await (await channel.get_queue("app-state")).bind("xumm.events", "shop.#")
    theirs = await channel.declare_queue("theirs", durable=True)
    await theirs.bind("xumm.events", "#")

    (change,) = (await apply(access, applied)).changes
    again = await verify(access, applied)

    assert str(change) == "? surplus binding xumm.events -> app-state by 'shop.#'"
    assert again.changes == (change,)


async def test_events_reach_queues_and_log(
    access: ManagementAccess, applied: Topology, channel: AbstractChannel, amqp_url: str
) -> None:
    """A resolve event lands in both default queues and in the stream."""
    async with RabbitPublisher(amqp_url) as publisher, asyncio.timeout(SECONDS):
        await publisher.ready()
        await publisher.publish(a_message(routing_key="shop.resolve.validated"))
    await channel.set_qos(10)
    log = await channel.get_queue("xumm.log")
    async with asyncio.timeout(SECONDS), log.iterator(arguments={"x-stream-offset": "first"}) as incoming:
        logged = await anext(incoming)
    found = [(await _next(channel, queue)).message_id for queue in ("push-notifications", "app-state")]

    assert [logged.message_id, *found] == [a_message().id] * 3


async def test_what_nothing_is_bound_for_is_put_aside(
    access: ManagementAccess, channel: AbstractChannel, amqp_url: str
) -> None:
    """Without the log, an event that matches no queue lands in the unrouted queue, and is confirmed."""
    await apply(access, desired({"billing": ("other.#",)}, TopologySettings(log=False)))
    async with RabbitPublisher(amqp_url) as publisher, asyncio.timeout(SECONDS):
        await publisher.ready()
        await publisher.publish(a_message())

    assert (await _next(channel, "xumm.unrouted")).message_id == a_message().id


async def test_a_rejected_message_is_dead_lettered(
    access: ManagementAccess, applied: Topology, channel: AbstractChannel
) -> None:
    """Rejected without requeue, a message lands in its queue's own dead letters."""
    await _publish(channel, "xumm.events", "shop.resolve.signed")
    await (await _next(channel, "app-state")).reject(requeue=False)

    dead = await _next(channel, "app-state.dead")

    assert (dead.message_id, dead.routing_key) == ("m1", "app-state")


async def test_endless_redelivery_ends_in_the_dead_letters(access: ManagementAccess, channel: AbstractChannel) -> None:
    """A message that is returned to the queue again and again is dead-lettered at the delivery limit."""
    await apply(access, desired(options=TopologySettings(delivery_limit=2)))
    await _publish(channel, "xumm.events", "shop.resolve.signed")
    async with (await channel.get_queue("app-state")).iterator() as incoming, asyncio.timeout(SECONDS):
        for _ in range(3):
            await (await anext(incoming)).reject(requeue=True)

    assert (await _next(channel, "app-state.dead")).message_id == "m1"


async def test_a_retry_comes_back_when_its_time_is_up(
    access: ManagementAccess, applied: Topology, channel: AbstractChannel
) -> None:
    """A message in a retry queue returns to its own queue, and to no other."""
    await apply(access, _with_policy(applied, "app-state.retry.10s", message_ttl=200))
    await _publish(channel, "xumm.retry", "app-state.retry.10s")

    back = await _next(channel, "app-state")
    elsewhere = await (await channel.get_queue("push-notifications")).get(fail=False)

    assert (back.message_id, back.routing_key) == ("m1", "app-state")
    assert elsewhere is None


async def test_a_plan_is_json_too(access: ManagementAccess) -> None:
    """Machines read the same differences."""
    found = json.loads(json.dumps((await plan(access, desired())).as_json()))

    assert found[0] == {
        "action": "create",
        "kind": "policy",
        "name": "xumm.events",
        "details": ["alternate-exchange: 'xumm.unrouted'"],
        "target": {
            "name": "xumm.events",
            "pattern": "^xumm\\.events$",
            "apply_to": "exchanges",
            "definition": {"alternate-exchange": "xumm.unrouted"},
            "priority": 10,
        },
    }


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"password": "hunter2"}, r"^GET /api/exchanges/.*: 401 "),
        ({"vhost": "missing"}, r"^GET /api/exchanges/missing: 404 "),
        ({"url": "http://127.0.0.1:1"}, r"^management API at http://127.0.0.1:1: "),
    ],
    ids=["wrong password", "missing virtual host", "nobody there"],
)
async def test_a_failure_is_explained(access: ManagementAccess, change: dict[str, str], complaint: str) -> None:
    """The error names the address and the reason, and never the password."""
    with pytest.raises(TopologyError, match=complaint) as failed:
        await plan(replace(access, **change), desired())

    assert "hunter2" not in str(failed.value)
