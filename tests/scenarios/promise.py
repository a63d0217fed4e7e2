"""What holds for the events of every payload, whatever happened on their way; each function names what does not."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = dict[str, Any]


def problems(events: Iterable[Json]) -> Iterator[str]:
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


def differences(wanted: Mapping[str, Any], found: Any, place: str = "") -> Iterator[str]:
    """Where ``found`` does not say what ``wanted`` does. What ``wanted`` does not name is free."""
    for name, value in wanted.items():
        actual = found.get(name) if isinstance(found, dict) else found
        if isinstance(value, dict):
            yield from differences(value, actual, f"{place}{name}.")
        elif actual != value:
            yield f"{place}{name} is {actual!r}, not {value!r}"
