"""Which bindings a routing key meets."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.publishing.debts import topic_matches


@pytest.mark.parametrize(
    ("binding", "routing_key", "expected"),
    [
        ("shop.sign.opened", "shop.sign.opened", True),
        ("shop.sign.opened", "shop.sign.signed", False),
        ("shop.sign", "shop.sign.opened", False),
        ("shop.sign.opened", "shop.sign", False),
        ("*.sign.*", "shop.sign.opened", True),
        ("*.sign.*", "shop.sign", False),
        ("*", "", False),
        ("", "", True),
        ("", "shop", False),
        ("#", "", True),
        ("#", "shop.sign.opened", True),
        ("shop.#", "shop", True),
        ("shop.#", "shop.sign.opened", True),
        ("shop.#", "other.sign.opened", False),
        ("#.opened", "shop.sign.opened", True),
        ("#.opened", "opened", True),
        ("#.opened", "shop.opened.late", False),
        ("shop.#.opened", "shop.opened", True),
        ("shop.#.opened", "shop.sign.sign.opened", True),
        ("#.#", "", True),
        ("#.*", "", False),
        ("#.*", "shop", True),
        ("*.#.#.sign", "shop.sign", True),
    ],
)
def test_routing(binding: str, routing_key: str, expected: bool) -> None:  # noqa: FBT001
    """A star is one word, a hash any number of words, none included."""
    assert expected == topic_matches(binding, routing_key)


words = st.lists(st.sampled_from(["a", "b", "*", "#"]), max_size=5)


@given(words, st.lists(st.sampled_from(["a", "b"]), max_size=5))
def test_agrees_with_a_regular_expression(pattern: list[str], key: list[str]) -> None:
    """For all short bindings and keys."""
    parts = {"*": "[ab],", "#": "(?:[ab],)*"}
    expression = "".join(parts.get(word, f"{word},") for word in pattern)
    expected = re.fullmatch(expression, "".join(f"{word}," for word in key)) is not None

    assert expected == topic_matches(".".join(pattern), ".".join(key))
