"""The differences between the desired and the actual topology, as values with a text and a JSON form."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from processor.broker.topology.objects import Actual, Binding, Exchange, Policy, Queue, Setting, Topology

Object = Exchange | Queue | Binding | Policy
_MARKS: Mapping[str, str] = {"create": "+", "update": "~", "conflict": "!", "surplus": "?"}
_FOR_ANY: Final = frozenset({"all"})
_FOR_QUORUM: Final = frozenset({"all", "quorum_queues"})
"""What else policies of queues may say that they apply to; the latter from 3.12."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference.

    ``create`` and ``update`` are what `apply` does. A ``conflict`` it cannot mend: an exchange or queue exists with
    another type or other arguments, or another policy overrides ours. ``surplus`` is a binding of one of our
    queues that nobody asked for. Both are for the operator, since mending them means to delete something.
    """

    action: Literal["create", "update", "conflict", "surplus"]
    kind: Literal["exchange", "queue", "binding", "policy"]
    name: str
    details: tuple[str, ...] = ()
    target: Object
    """What there should be; for surplus, what there is."""

    @property
    def mendable(self) -> bool:
        """Whether `apply` makes it go away."""
        return self.action in {"create", "update"}

    def __str__(self) -> str:
        lines = [f"{_MARKS[self.action]} {self.action} {self.kind} {self.name}", *self.details]
        return "\n      ".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All differences, in the order in which to apply them."""

    changes: tuple[Change, ...]

    @property
    def clean(self) -> bool:
        """Whether there is no difference."""
        return not self.changes

    def as_json(self) -> list[dict[str, Any]]:
        """The differences as JSON."""
        return [asdict(change) | {"details": list(change.details)} for change in self.changes]

    def __str__(self) -> str:
        """One line for each change, its details below it."""
        if self.clean:
            return "The topology is as it should be."
        return "\n".join(map(str, self.changes))


def compare(wanted: Topology, actual: Actual) -> Plan:
    """The changes after which ``actual`` has everything in ``wanted``; other objects are ignored."""
    return Plan(
        changes=(
            *_policies(wanted, actual),
            *_declared("exchange", wanted.exchanges, actual.topology.exchanges),
            *_declared("queue", wanted.queues, actual.topology.queues),
            *_bindings(wanted, actual),
        )
    )


def _policies(wanted: Topology, actual: Actual) -> Iterator[Change]:
    present = {policy.name: policy for policy in actual.topology.policies}
    for policy in wanted.policies:
        found = present.get(policy.name)
        if found is None:
            details = tuple(f"{name}: {value!r}" for name, value in sorted(policy.definition.items()))
            yield Change(action="create", kind="policy", name=policy.name, details=details, target=policy)
        elif found != policy:
            details = _differences(_flatten(found), _flatten(policy))
            yield Change(action="update", kind="policy", name=policy.name, details=details, target=policy)
        else:
            yield from _find_override(policy, actual)


def _find_override(policy: Policy, actual: Actual) -> Iterator[Change]:
    """Our policies bear the names of what they are for."""
    governed = actual.policy_of_queue if policy.apply_to == "queues" else actual.policy_of_exchange
    ruler = governed.get(policy.name) or _ruler(policy, actual)
    if ruler is not None and ruler != policy.name:
        detail = f"RabbitMQ applies policy {ruler!r} to it instead; lower that one's priority below {policy.priority}"
        yield Change(action="conflict", kind="policy", name=policy.name, details=(detail,), target=policy)


def _ruler(policy: Policy, actual: Actual) -> str | None:
    """Which policy RabbitMQ applies in place of ``policy``, where it does not say so itself: that of most priority."""
    rivals = [each for each in actual.topology.policies if each.priority > policy.priority and _governs(each, policy)]
    return max(rivals, key=lambda each: each.priority).name if rivals else None


def _governs(rival: Policy, policy: Policy) -> bool:
    """Whether ``rival`` is for what ``policy`` is for, too. A pattern that cannot be read here may be."""
    if rival.apply_to not in {policy.apply_to, *(_FOR_QUORUM if policy.apply_to == "queues" else _FOR_ANY)}:
        return False
    try:
        return re.search(rival.pattern, policy.name) is not None
    except re.error:
        return True


def _declared(
    kind: Literal["exchange", "queue"], wanted: Iterable[Exchange | Queue], actual: Iterable[Exchange | Queue]
) -> Iterator[Change]:
    present = {each.name: each for each in actual}
    for each in wanted:
        found = present.get(each.name)
        if found is None:
            yield Change(action="create", kind=kind, name=each.name, target=each)
        elif found != each:
            details = (
                *_differences(_flatten(found), _flatten(each)),
                f"it cannot be changed in place: move its messages, delete the {kind}, apply again",
            )
            yield Change(action="conflict", kind=kind, name=each.name, details=details, target=each)


def _bindings(wanted: Topology, actual: Actual) -> Iterator[Change]:
    present = set(actual.topology.bindings)
    for binding in wanted.bindings:
        if binding not in present:
            yield Change(action="create", kind="binding", name=_binding_name(binding), target=binding)
    exchanges = {exchange.name for exchange in wanted.exchanges}
    queues = {queue.name for queue in wanted.queues}
    surplus = present - set(wanted.bindings)
    for binding in sorted(surplus, key=_binding_name):
        if binding.exchange in exchanges and binding.queue in queues:
            yield Change(action="surplus", kind="binding", name=_binding_name(binding), target=binding)


def _binding_name(binding: Binding) -> str:
    return f"{binding.exchange} -> {binding.queue} by {binding.routing_key!r}"


def _flatten(thing: Exchange | Queue | Policy) -> dict[str, Setting]:
    """Fields, with arguments and definitions spread among them."""
    fields: dict[str, Any] = asdict(thing)
    return {**fields.pop("arguments", {}), **fields.pop("definition", {}), **fields}


def _differences(found: Mapping[str, Setting], wanted: Mapping[str, Setting]) -> tuple[str, ...]:
    names: Iterable[str] = sorted(found.keys() | wanted.keys())
    return tuple(
        f"{name}: {_value(found, name)} -> {_value(wanted, name)}"
        for name in names
        if _value(found, name) != _value(wanted, name)
    )


def _value(settings: Mapping[str, Setting], name: str) -> str:
    return repr(settings[name]) if name in settings else "unset"
