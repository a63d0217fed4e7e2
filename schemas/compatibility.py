"""The breaking changes of an event's JSON Schema, compared with the released one.

The stream keeps old events, and consumers are deployed independently, so that old consumers read new events and new
consumers read old ones. Optional fields may be added; any other change needs a new version.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_ANNOTATIONS: Final = frozenset({"title", "description", "default", "examples", "$id", "$schema", "$defs"})
_STRUCTURE: Final = frozenset({"properties", "required", "anyOf", "items", "enum"})

Schema = Mapping[str, Any]


def breaking_changes(released: Mapping[str, Schema], current: Mapping[str, Schema]) -> list[str]:
    """One line for each change that breaks a consumer. ``released`` and ``current`` map ``$id`` to schema."""
    problems: list[str] = []
    for urn, old in released.items():
        if (new := current.get(urn)) is None:
            if not _has_successor(urn, current):
                problems.append(f"{urn}: event removed")
            continue
        problems += _Comparison(old, new).compare(old, new, urn)
    return problems


def _has_successor(urn: str, current: Mapping[str, Schema]) -> bool:
    """Whether ``current`` has a later version of the event, which consumers can move to."""
    event, _, version = urn.rpartition(":")
    return any(other.rpartition(":")[0] == event and int(other.rpartition(":")[2]) > int(version) for other in current)


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old, new

    def compare(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        old, new = _resolve(old, self._old), _resolve(new, self._new)
        yield from _keywords(old, new, place)
        yield from _enum(old, new, place)
        yield from self._fields(old, new, place)
        yield from self._alternatives(old, new, place)
        if "items" in old and "items" in new:
            yield from self.compare(old["items"], new["items"], f"{place}[]")
        elif ("items" in old) != ("items" in new):
            yield f"{place}: items changed"

    def _fields(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        required_before, required_after = set(old.get("required", ())), set(new.get("required", ()))
        for name, field in before.items():
            where = f"{place}.{name}"
            if name not in after:
                yield f"{where}: removed"
                continue
            if name in required_before - required_after:
                yield f"{where}: may be missing now"
            if name in required_after - required_before:
                yield f"{where}: newly required"
            yield from self.compare(field, after[name], where)
        for name in sorted((after.keys() - before.keys()) & required_after):
            yield f"{place}.{name}: newly required"

    def _alternatives(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        before, after = _by_label(old, self._old), _by_label(new, self._new)
        for label, alternative in before.items():
            if label not in after:
                yield f"{place}: narrowed, {label} removed"
            else:
                yield from self.compare(alternative, after[label], place)
        yield from (f"{place}: widened, {label} added" for label in after if label not in before)


def _keywords(old: Schema, new: Schema, place: str) -> Iterator[str]:
    for keyword in sorted((old.keys() | new.keys()) - _ANNOTATIONS - _STRUCTURE):
        if old.get(keyword) != new.get(keyword):
            yield f"{place}: {keyword} changed from {old.get(keyword)!r} to {new.get(keyword)!r}"


def _enum(old: Schema, new: Schema, place: str) -> Iterator[str]:
    if "enum" not in old and "enum" not in new:
        return
    before, after = old.get("enum"), new.get("enum")
    if before is None or after is None:
        yield f"{place}: enum {'added' if before is None else 'dropped'}"
        return
    yield from (f"{place}: value {value!r} removed" for value in before if value not in after)
    yield from (f"{place}: value {value!r} added, which consumers refuse" for value in after if value not in before)


def _resolve(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = {
            **root["$defs"][schema["$ref"].rpartition("/")[2]],
            **{k: v for k, v in schema.items() if k != "$ref"},
        }
    return schema


def _by_label(schema: Schema, root: Schema) -> dict[str, Schema]:
    """The alternatives of ``anyOf`` by title or type; none for a plain schema."""
    alternatives = [_resolve(each, root) for each in schema.get("anyOf", ())]
    return {str(each.get("title") or each.get("type") or "anything"): each for each in alternatives}
