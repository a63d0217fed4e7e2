"""Finding consumers by name."""

import sys
from pathlib import Path
from typing import Final

import pytest

import consumers
from consumers.app_state import AppState
from consumers.push.consumer import Push
from consumers.runtime.discovery import find, find_all
from consumers.runtime.errors import UnknownConsumer
from schemas.topology import DEFAULT_QUEUES
from tests.consumers.orders import Orders

SHIPPING: Final = '''"""Ships what was paid for."""

from sqlalchemy import Connection

from consumers import Consumer
from schemas.events import ResolveValidated


class Shipping(Consumer):
    bindings = ("*.resolve.validated",)

    def ship(self, event: ResolveValidated, transaction: Connection) -> None:
        """Notes nothing."""
'''


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
    "name", ["no-such", "runtime", "commands", "__main__", "no.such", "tests.consumers.orders:Nobody", "os.path:join"]
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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules count as modules of the package; forgotten at the end."""
    monkeypatch.setattr(consumers, "__path__", [*consumers.__path__, str(tmp_path)])
    for name in ("parcel_service", "parcel_service.consumer"):
        monkeypatch.setitem(sys.modules, f"consumers.{name}", None)
        monkeypatch.delitem(sys.modules, f"consumers.{name}")
    monkeypatch.setattr(consumers, "parcel_service", None, raising=False)
    return tmp_path


@pytest.mark.parametrize("layout", ["file", "package"])
def test_new_consumer_is_one_file_or_package_and_one_name(folder: Path, layout: str) -> None:
    """Found, listed and given its queue by the name of its file or folder, without a line elsewhere."""
    if layout == "file":
        (folder / "parcel_service.py").write_text(SHIPPING)
    else:
        package = folder / "parcel_service"
        package.mkdir()
        (package / "__init__.py").write_text(
            '"""Ships what was paid for."""\nfrom consumers.parcel_service.consumer import Shipping\n'
        )
        (package / "consumer.py").write_text(SHIPPING)

    found = find("parcel-service")

    assert ("parcel-service", "parcel-service", "Ships what was paid for.") == (
        found.name,
        found.consumer.queue,
        found.summary,
    )
    assert [each.name for each in find_all()] == ["app-state", "parcel-service", "push"]
