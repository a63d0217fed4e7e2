"""Fair division of a limited number of places, so that one application's flood keeps no other from its share."""

import heapq
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Generic, TypeVar

Name = TypeVar("Name")
Item = TypeVar("Item")


def free_places(places: int, held: Mapping[Name, int]) -> dict[Name, int]:
    """How many more of ``places`` each name may take, given how many each holds: together no more than are free.

    Half of all places is reserved in equal parts, one for each name. The free places of the other half are divided
    anew with each call, the larger parts to the names that hold the least: a single name gets all of them in a few
    calls.
    """
    own = places // (2 * len(held)) if held else 0
    borrowed = sum(max(0, count - own) for count in held.values())
    common = max(0, places - own * len(held) - borrowed)
    part, left = divmod(common, len(held) or 1)
    free = {}
    for rank, name in enumerate(sorted(held, key=lambda name: held[name])):
        free[name] = max(0, own - held[name]) + part + (rank < left)
    return free


class FairQueues(Generic[Name, Item]):
    """Items that wait for a place: one queue for each name, ordered by the time at which an item is due."""

    def __init__(self, names: Iterable[Name], places: int) -> None:
        self._queues: dict[Name, list[tuple[float, int, Item]]] = {name: [] for name in names}
        self._places = places
        self._number = count()

    def put(self, name: Name, item: Item, at: float = 0.0) -> None:
        """Add ``item``, which waits until ``at`` and then for a place. Items that are due together keep their order."""
        heapq.heappush(self._queues[name], (at, next(self._number), item))

    def take(self, taken: Iterable[Name], now: float = 0.0) -> Item | None:
        """The next item to get a place, while each name in ``taken`` holds one: from the name that holds the fewest.

        None if no item is due, or no place is free for it.
        """
        ready = [name for name, queue in self._queues.items() if queue and queue[0][0] <= now]
        held = dict.fromkeys(self._queues, 0)
        for name in taken:
            held[name] += 1
        free = free_places(self._places, held)
        chosen = min((name for name in ready if free[name]), key=lambda name: held[name], default=None)
        return None if chosen is None else heapq.heappop(self._queues[chosen])[2]
