"""Identifiers that are derived from facts."""

from collections.abc import Callable
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.payload.ids import command_id, device_reference, event_id, user_reference


@pytest.mark.parametrize(
    ("derive", "arguments", "namespace", "name"),
    [
        (event_id, ("app", "payload", "fact"), "6f2c1d2e-7f0c-5b1e-9d53-3a6d5a0c9a41", "app/payload/fact"),
        (user_reference, ("app", "token"), "b7d0a0a4-54f3-5c0e-8a54-0c7a4e2f6d19", "app/token"),
        (device_reference, ("digest",), "0b9f2a86-1d55-5d0c-9a7e-6a1f4c83e7d2", "digest"),
        (command_id, ("app", "wish", "at"), "c1a4e7f0-62d9-5b3b-8f0e-94d2b6a7150c", "app/wish/at"),
    ],
)
def test_ids_are_stable(derive: Callable[..., str], arguments: tuple[str, ...], namespace: str, name: str) -> None:
    """Each kind has its namespace, and what was derived by an earlier version is derived again."""
    assert str(uuid5(UUID(namespace), name)) == derive(*arguments)


@given(st.text(max_size=40))
def test_any_name_makes_a_uuid_of_version_5(name: str) -> None:
    """The short cut makes the same ids as the library."""
    assert str(uuid5(UUID("0b9f2a86-1d55-5d0c-9a7e-6a1f4c83e7d2"), name)) == device_reference(name)
