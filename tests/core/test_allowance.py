"""How much one caller may ask."""

from processor.core.allowance import Allowances


def test_bucket() -> None:
    """So many at once, then one for each share of a minute; each caller has a bucket of their own."""
    allowances = Allowances(2)

    assert [allowances.take("a", 0.0) for _ in range(3)] == [0, 0, 30]
    assert allowances.take("b", 0.0) == 0
    assert allowances.take("a", 15.0) == 15
    assert [round(allowances.take("a", 31.0)) for _ in range(2)] == [0, 29]
    assert [allowances.take("a", 1000.0) for _ in range(3)] == [0, 0, 30]


def test_memory_is_bounded() -> None:
    """Of too many callers, those are forgotten who asked the longest ago."""
    allowances = Allowances(1, callers=2)
    taken = [allowances.take(caller, 0.0) for caller in ("a", "b", "b", "c", "b", "a")]

    assert taken == [0, 0, 60, 0, 60, 0]
