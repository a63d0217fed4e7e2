"""How places are shared: some are each one's own, kept free for whenever they are wanted, the rest anybody's."""

import heapq
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Generic, TypeVar

Name = TypeVar("Name")
Item = TypeVar("Item")


def rooms(places: int, held: Mapping[Name, int]) -> dict[Name, int]:
    """How many more of ``places`` each may take now, who holds so many: together no more than are free.

    Half of all places are divided among everybody and taken by nobody else. What is free of the other half is divided
    anew with each call, the larger parts to those who hold the least: one alone gets all of it in a few calls.
    """
    own = places // (2 * len(held)) if held else 0
    borrowed = sum(max(0, count - own) for count in held.values())
    common = max(0, places - own * len(held) - borrowed)
    part, left = divmod(common, len(held) or 1)
    found = {}
    for rank, name in enumerate(sorted(held, key=lambda name: held[name])):
        found[name] = max(0, own - held[name]) + part + (rank < left)
    return found


class Lines(Generic[Name, Item]):
    """What waits for one of so many places: a line for each name, in which the earliest turn comes first."""

    def __init__(self, names: Iterable[Name], places: int) -> None:
        self._lines: dict[Name, list[tuple[float, int, Item]]] = {name: [] for name in names}
        self._places = places
        self._number = count()

    def put(self, name: Name, item: Item, at: float = 0.0) -> None:
        """Let ``item`` wait until ``at``, and then for a place. Of equal turns, the first put comes first."""
        heapq.heappush(self._lines[name], (at, next(self._number), item))

    def take(self, taken: Iterable[Name], now: float = 0.0) -> Item | None:
        """The next one to get a place, while those of ``taken`` have one each: of who has the fewest. None: not now."""
        ready = [name for name, line in self._lines.items() if line and line[0][0] <= now]
        if not ready:
            return None
        held = dict.fromkeys(self._lines, 0)
        for name in taken:
            held[name] += 1
        free = rooms(self._places, held)
        chosen = min((name for name in ready if free[name]), key=lambda name: held[name], default=None)
        return None if chosen is None else heapq.heappop(self._lines[chosen])[2]
