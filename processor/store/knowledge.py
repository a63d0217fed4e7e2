"""A payload's state as a row, and back, without loss."""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from pydantic import TypeAdapter

from processor.core.payload.state import EndNotice, PayloadState
from processor.core.proof.evidence import Ledger, Snapshot
from processor.store.tables import payloads, restored, stored

_snapshot: Final[TypeAdapter[Snapshot | None]] = TypeAdapter(Snapshot | None)
_ledger: Final[TypeAdapter[Ledger | None]] = TypeAdapter(Ledger | None)
_UNTOLD: Final[tuple[Any, ...]] = (None,) * 5
UNKNOWN: Final = b""
"""The ``knowledge`` of a row that only holds a place."""
STATE: Final = tuple(
    payloads.c[name]
    for name in (
        "payload",
        "app",
        "application",
        "facts",
        "flags",
        "sequence",
        "resolved",
        "expires_at",
        "knowledge",
        "custom_meta",
    )
)
"""The columns of a state, in the order of `row_of`."""


def row_of(state: PayloadState) -> tuple[Any, ...]:
    """The values of `STATE`."""
    return (
        state.payload,
        state.app,
        state.application_uuid,
        int(state.facts),
        int(state.flags),
        state.sequence,
        state.resolved,
        None if state.expires_at is None else stored(state.expires_at),
        orjson.dumps([state.txid, state.user, state.snapshot, state.ledger, *_times(state), *_asked(state)]),
        state.custom_meta,
    )


def state_of(row: Sequence[Any]) -> PayloadState:
    """The state in a row that begins with `STATE`."""
    payload, app, application, facts, flags, sequence, resolved, expires_at, knowledge, custom_meta, *_ = row
    txid, user, snapshot, ledger, *later = orjson.loads(knowledge)
    source, learned_at, look_at, asked_of, asked_by = (*later, *_UNTOLD)[: len(_UNTOLD)]  # older rows are shorter
    return PayloadState(
        app=app,
        application_uuid=application,
        payload=payload,
        facts=facts,
        flags=flags,
        sequence=sequence,
        resolved=resolved,
        txid=txid,
        user=user,
        expires_at=None if expires_at is None else restored(expires_at),
        custom_meta=None if custom_meta is None else bytes(custom_meta),
        snapshot=_snapshot.validate_python(snapshot),
        ledger=_ledger.validate_python(ledger),
        end_notice=None if learned_at is None else EndNotice(source, restored(learned_at)),
        lookup_at=None if look_at is None else restored(look_at),
        asked_of=asked_of,
        asked_by=asked_by,
    )


def _times(state: PayloadState) -> tuple[Any, ...]:
    notice = state.end_notice
    source, noticed_at = (None, None) if notice is None else (notice.source, stored(notice.at))
    return source, noticed_at, None if state.lookup_at is None else stored(state.lookup_at)


def _asked(state: PayloadState) -> tuple[str | None, str | None]:
    return state.asked_of, state.asked_by
