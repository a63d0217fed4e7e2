"""Messages to publish in tests."""

from typing import Any
from uuid import UUID

from processor.core.publishing.message import Message

_FIRST = Message(
    id=str(UUID(int=1, version=5)),
    type="xumm.sign.opened",
    app="shop",
    payload=str(UUID(int=1, version=4)),
    routing_key="shop.sign.opened",
    body=b'{"specversion":"1.0"}',
    at=1_700_000_000,
)


def a_message(number: int = 1, **changes: Any) -> Message:
    """The message of that number: its id differs from any other's; ``changes`` replace fields."""
    return _FIRST._replace(id=str(UUID(int=number, version=5)), **changes)
