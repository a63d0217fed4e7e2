"""Finding consumers by name."""

import pytest

from consumers.app_state import AppState
from consumers.discovery import find, find_all
from consumers.errors import UnknownConsumer
from consumers.push import Push
from schemas.topology import DEFAULT_QUEUES
from tests.consumers.orders import Orders


@pytest.mark.parametrize(
    ("name", "consumer", "run_as"),
    [
        ("app-state", AppState, "app-state"),
        ("push", Push, "push"),
        ("tests.consumers.orders", Orders, "orders"),
        ("tests.consumers.orders:Orders", Orders, "orders"),
    ],
)
def test_consumer_is_found(name: str, consumer: type, run_as: str) -> None:
    """A name with dashes, a module's path, or a class in it."""
    found = find(name)

    assert (found.consumer, found.name) == (consumer, run_as)


@pytest.mark.parametrize(
    "name", ["no-such", "runtime", "__main__", "no.such", "tests.consumers.orders:Nobody", "os.path:join"]
)
def test_unknown_name_is_refused(name: str) -> None:
    """The message says what is missing."""
    with pytest.raises(UnknownConsumer):
        find(name)


def test_names_to_choose_from_are_listed() -> None:
    """The reference consumers are there, with the queues of the default topology and a line about each."""
    found = {each.name: each for each in find_all()}

    assert set(found) == {"app-state", "push"}
    assert {each.consumer.queue: each.consumer.bindings for each in found.values()} == DEFAULT_QUEUES
    assert all(each.summary.endswith(".") for each in found.values())
