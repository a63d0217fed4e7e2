"""How much one caller may ask."""

import pytest

from processor.core.access.limits import CallLimits, Rank, RequestLimits, RequestShares


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
