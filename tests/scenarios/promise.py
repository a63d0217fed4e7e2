"""What holds for the events of every payload, whatever happened on their way; each function names what does not."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from processor.core.payload.state import PayloadState, names_of
from tests.scenarios.outcomes import Outcome

Json = dict[str, Any]


def problems(events: Sequence[Json]) -> Iterator[str]:
    """What is wrong with the events of one payload, repetitions left out, in the order in which they came."""
    types = [event["type"].removeprefix("xumm.") for event in events]
    resolves = [kind for kind in types if kind.startswith("resolve.")]
    sequences = [int(event["sequence"]) for event in events]
    if len(resolves) > 1:
        yield f"several outcomes: {resolves}"
    if repeated := [kind for kind, times in Counter(types).items() if times > 1]:
        yield f"told under several ids: {repeated}"
    if sequences != list(range(1, len(sequences) + 1)):
        yield f"numbered {sequences}"


def unkept(outcome: Outcome, events: Sequence[Json], state: PayloadState) -> Iterator[str]:
    """What is wrong with the events of a payload that was to end so."""
    signs = {event["type"].removeprefix("xumm.sign.") for event in events if event["type"].startswith("xumm.sign.")}
    resolve = events[-1] if events else {"type": None, "data": {}}
    yield from problems(events)
    if outcome.resolve is None and resolve["type"].startswith("xumm.resolve."):
        yield f"ends with {resolve['type']}, and nothing proves it"
    if outcome.resolve is not None and resolve["type"] != f"xumm.resolve.{outcome.resolve}":
        yield f"ends with {resolve['type']}, not resolve.{outcome.resolve}"
    yield from differences(outcome.data, resolve["data"])
    if not outcome.signs <= signs <= outcome.signs | outcome.may:
        yield f"told the sign events {sorted(signs)}"
    if state.flags & ~outcome.may_flag != outcome.flags:
        yield f"flagged {names_of(state.flags)}"


def differences(wanted: Mapping[str, Any], found: Any, place: str = "") -> Iterator[str]:
    """Where ``found`` does not say what ``wanted`` does. What ``wanted`` does not name is free."""
    for name, value in wanted.items():
        actual = found.get(name) if isinstance(found, dict) else found
        if isinstance(value, dict):
            yield from differences(value, actual, f"{place}{name}.")
        elif actual != value:
            yield f"{place}{name} is {actual!r}, not {value!r}"
