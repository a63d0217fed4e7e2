"""How much one caller may ask."""

import pytest

from processor.core.access.limits import MAX_CALLERS, CallLimits, Rank, RequestLimits, RequestShares


def test_bucket() -> None:
    """So many at once, then one for each share of a minute; each caller has a bucket of their own."""
    allowances = CallLimits(2)

    assert [allowances.take("a", 0.0) for _ in range(3)] == [0, 0, 30]
    assert allowances.take("b", 0.0) == 0
    assert allowances.take("a", 15.0) == 15
    assert [round(allowances.take("a", 31.0)) for _ in range(2)] == [0, 29]
    assert [allowances.take("a", 1000.0) for _ in range(3)] == [0, 0, 30]


def test_memory_is_bounded() -> None:
    """Of too many callers, those are forgotten who asked the longest ago."""
    allowances = CallLimits(1, callers=2)
    taken = [allowances.take(caller, 0.0) for caller in ("a", "b", "b", "c", "b", "a")]

    assert taken == [0, 0, 60, 0, 60, 0]


def taken(shares: RequestLimits, rank: Rank, callers: int = 100) -> int:
    return sum(not shares.take("shop", rank, str(number % callers), 0.0) for number in range(200))


@pytest.mark.parametrize(
    ("order", "had"),
    [
        (["stranger", "user", "service"], [33, 34, 33]),
        (["user", "stranger", "service"], [67, 0, 33]),
        (["service", "user", "stranger"], [100, 0, 0]),
    ],
    ids=str,
)
def test_shares(order: list[Rank], had: list[int]) -> None:
    """Nobody touches the share of those above, who may use what is left."""
    shares = RequestLimits(100, RequestShares())

    assert had == [taken(shares, rank) for rank in order]
    assert not shares.take("another application", "stranger", "0", 0.0)


def test_share_of_one() -> None:
    """One user, or one address, takes no more than a part; a service is not divided."""
    assert [20, 20, 100] == [
        taken(RequestLimits(100, RequestShares()), rank, 1) for rank in ("stranger", "user", "service")
    ]


def test_refusal_takes_nothing() -> None:
    """Who is over their own share costs the others nothing, and hears when to come again."""
    shares = RequestLimits(60, RequestShares())
    waits = [shares.take("shop", "stranger", "one", 0.0) for _ in range(100)]

    assert ([0.0] * 12, {5.0}) == (waits[:12], set(waits[12:]))
    assert 7 == sum(not shares.take("shop", "stranger", "another", 0.0) for _ in range(7))


def test_portions_and_bounds() -> None:
    """Two thirds are for users and strangers, one third for strangers, a fifth for one of them; memory is bounded."""
    assert (67, 33, 20, 10_000) == (
        RequestShares().users,
        RequestShares().strangers,
        RequestShares().caller,
        MAX_CALLERS,
    )


def test_asking_for_the_wait_takes_nothing() -> None:
    """However often: a whole call is allowed, a part of one is not."""
    allowances = CallLimits(60)
    waits = [allowances.wait("a", 0.0) for _ in range(100)]
    taken = [allowances.take("a", 0.0) for _ in range(60)]

    assert ([0.0] * 100, [0.0] * 60) == (waits, taken)
    assert [1.0, 0.25, 0.0] == [allowances.wait("a", now) for now in (0.0, 0.75, 1.0)]


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    """Time that was counted is not counted again."""
    allowances = CallLimits(60)
    for _ in range(60):
        allowances.take("a", 10.0)

    assert [1.0, 1.0, 0.0] == [allowances.take("a", now) for now in (5.0, 4.0, 5.0)]


def test_who_asked_last_is_remembered() -> None:
    """Of too many callers the one goes who did not ask for the longest, though it came later than another."""
    allowances = CallLimits(1, callers=2)
    taken = [allowances.take(caller, 0.0) for caller in ("a", "b", "a", "c", "a")]

    assert [0, 0, 60, 0, 60] == taken


def test_smallest_shares() -> None:
    """Of one call a minute everybody's part is one, for each application."""
    shares = RequestLimits(1, RequestShares())

    assert [0.0, 60.0, 0.0] == [shares.take(app, "stranger", caller, 0.0) for app, caller in ("ax", "ay", "bx")]


def test_callers_are_told_apart_by_application() -> None:
    """Who took their part of one application has all of it in another."""
    shares = RequestLimits(5, RequestShares())

    assert [0.0, 60.0, 0.0, 0.0] == [shares.take(app, "user", caller, 0.0) for app, caller in ("ax", "ax", "bx", "ay")]


def test_shares_are_rounded_down() -> None:
    """Of 8 calls a minute users have 5, strangers 2, and one of them 1."""
    shares = [RequestLimits(8, RequestShares()) for _ in range(3)]

    assert [5, 2, 1] == [
        taken(shares[0], "user"),
        taken(shares[1], "stranger"),
        taken(shares[2], "stranger", 1),
    ]
