"""A payload's state as a row, and back, without loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from processor.core.evidence import Ledger, Snapshot
from processor.core.state import Fact, Flag, PayloadState
from processor.store.tables import payloads, restored, stored
from schemas.text import CustomMeta


@dataclass(frozen=True, slots=True, kw_only=True)
class _Knowledge:
    """What is stored as JSON, by pydantic: it keeps integers of any size."""

    txid: str | None = None
    user: str | None = None
    custom_meta: CustomMeta | None = None
    snapshot: Snapshot | None = None
    ledger: Ledger | None = None


_adapter: Final = TypeAdapter(_Knowledge)
UNKNOWN: Final = b""
"""The ``knowledge`` of a row that only holds a place."""
STATE: Final = tuple(
    payloads.c[name]
    for name in ("payload", "app", "application", "facts", "flags", "sequence", "resolved", "expires_at", "knowledge")
)
"""The columns of a state, in the order of `row_of`."""


def row_of(state: PayloadState) -> tuple[Any, ...]:
    """The values of `STATE`."""
    knowledge = _Knowledge(
        txid=state.txid,
        user=state.user,
        custom_meta=state.custom_meta,
        snapshot=state.snapshot,
        ledger=state.ledger,
    )
    return (
        state.payload,
        state.app,
        state.application,
        int(state.facts),
        int(state.flags),
        state.sequence,
        state.resolved,
        None if state.expires_at is None else stored(state.expires_at),
        _adapter.dump_json(knowledge, exclude_defaults=True),
    )


def state_of(row: Sequence[Any]) -> PayloadState:
    """The state in a row that begins with `STATE`."""
    payload, app, application, facts, flags, sequence, resolved, expires_at, knowledge, *_ = row
    known = _adapter.validate_json(knowledge)
    return PayloadState(
        app=app,
        application=application,
        payload=payload,
        facts=Fact(facts),
        flags=Flag(flags),
        sequence=sequence,
        resolved=resolved,
        txid=known.txid,
        user=known.user,
        expires_at=None if expires_at is None else restored(expires_at),
        custom_meta=known.custom_meta,
        snapshot=known.snapshot,
        ledger=known.ledger,
    )
