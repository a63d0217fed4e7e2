"""How places are shared."""

from hypothesis import given
from hypothesis import strategies as st

from processor.core.fair_queues import FairQueues, free_places


def test_one_alone_has_all() -> None:
    """Nothing is kept free for nobody."""
    assert {"shop": 7} == free_places(10, {"shop": 3})


def test_half_is_shared_out() -> None:
    """However much one holds, another has places of its own."""
    assert {"flooded": 0, "shop": 25} == free_places(100, {"flooded": 75, "shop": 0})


def test_rest_goes_to_whoever_holds_the_least() -> None:
    """Fewer places than applications: each in turn."""
    assert {"a": 0, "b": 1, "c": 0} == free_places(2, {"a": 1, "b": 0, "c": 0})


def test_nobody_wants_any() -> None:
    """Without applications there is nothing to share."""
    assert {} == free_places(10, {})


@given(places=st.integers(0, 200), appetites=st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_no_place_is_taken_twice_and_nobody_loses_its_own(places: int, appetites: list[int]) -> None:
    """Whoever wants more takes what it may, in whatever order."""
    held = dict.fromkeys(range(len(appetites)), 0)
    for _ in range(50):
        free = free_places(places, held)
        for name, wanted in enumerate(appetites):
            held[name] += min(free[name], wanted - held[name])

    own = places // (2 * len(appetites))
    assert sum(held.values()) <= places
    assert all(held[name] >= min(own, wanted) for name, wanted in enumerate(appetites))


@given(places=st.integers(0, 200), crowd=st.integers(1, 8))
def test_one_of_many_gets_what_is_not_kept_for_the_others(places: int, crowd: int) -> None:
    """Only the others' own parts stay free, and what is less than one for each."""
    held = dict.fromkeys(range(crowd), 0)
    for _ in range(100):
        held[0] += free_places(places, held)[0]

    assert held[0] > places - (places // (2 * crowd) + 1) * (crowd - 1) - 1


def test_lines_take_turns() -> None:
    """A long line of one name is no longer wait for another's first, nor do all its turns come first."""
    lines = FairQueues[str, str](["flooded", "shop"], places=8)
    for number in range(20):
        lines.put("flooded", f"flooded-{number}")
    lines.put("shop", "shop-0")
    taken: list[str] = []
    while item := lines.take(each.partition("-")[0] for each in taken):
        taken.append(item)

    assert ["flooded-0", "shop-0", "flooded-1"] == taken[:3]
    assert 6 == len(taken)  # the others stay free for whoever has fewer


def test_lines_wait_for_their_time() -> None:
    """Nothing comes before its turn, and the earliest turn comes first, whenever it was put."""
    lines = FairQueues[str, str](["shop"], places=8)
    for at, item in ((2, "later"), (1, "sooner"), (9, "much later")):
        lines.put("shop", item, at)

    assert [None, "sooner", "later", None] == [lines.take([], now) for now in (0.5, 2, 2, 2)]


def test_own_places_are_kept_for_whoever_has_none() -> None:
    """Of ten places, two have two each; the other six are lent, in parts, to those who hold the least."""
    assert {"a": 5, "b": 5} == free_places(10, {"a": 0, "b": 0})
    assert {"a": 0, "b": 3} == free_places(10, {"a": 7, "b": 0})
    assert {"a": 0, "b": 2} == free_places(10, {"a": 8, "b": 0})
    assert {"a": 2, "b": 1, "c": 1} == free_places(7, {"a": 1, "b": 1, "c": 1})
    assert {"a": 0, "b": 0, "c": 0} == free_places(3, {"a": 5, "b": 5, "c": 5})


def test_nothing_waits() -> None:
    """Nobody gets a place, whoever has one."""
    lines = FairQueues[str, str](["a", "b"], places=4)

    assert lines.take(["a"]) is None


def test_equal_turns_keep_their_order() -> None:
    """The first put comes first, though it may be the larger; nothing but the moment is compared."""
    lines = FairQueues[str, dict[str, int]](["a"], places=9)
    for number in (3, 1, 2):
        lines.put("a", {"number": number})

    assert [{"number": 3}, {"number": 1}, {"number": 2}] == [lines.take([]) for _ in range(3)]


def test_turn_comes_at_its_moment() -> None:
    """Not before."""
    lines = FairQueues[str, str](["a"], places=9)
    lines.put("a", "x", 5.0)

    assert [None, None, "x"] == [lines.take([]), lines.take([], 4.9), lines.take([], 5.0)]


def test_who_has_the_fewest_places_is_next() -> None:
    """Each place that is taken counts."""
    lines = FairQueues[str, str](["a", "b", "c"], places=30)
    for name in ("a", "b", "c"):
        lines.put(name, name)

    assert ["c", "b", "a"] == [lines.take(["a", "a", "a", "b", "b", "c"]) for _ in range(3)]


def test_without_a_place_nobody_is_next() -> None:
    """Until one is free."""
    lines = FairQueues[str, str](["a"], places=1)
    lines.put("a", "x")

    assert [None, "x"] == [lines.take(["a"]), lines.take([])]
