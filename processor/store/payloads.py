"""Payloads: a state as a row and back, without loss; reading states; the payloads that wait for a human."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from pydantic import TypeAdapter
from sqlalchemy import Connection, select

from processor.core.payload.state import EndNotice, PayloadState
from processor.core.proof.evidence import Ledger, Snapshot
from processor.store.tables import from_micros, payloads, to_micros

_snapshot: Final[TypeAdapter[Snapshot | None]] = TypeAdapter(Snapshot | None)
_ledger: Final[TypeAdapter[Ledger | None]] = TypeAdapter(Ledger | None)
_UNTOLD: Final[tuple[Any, ...]] = (None,) * 5
UNKNOWN: Final = b""
"""The ``knowledge`` of a row that only holds a place."""
STATE: Final = tuple(payloads.c)[:10]
"""The columns of a state, in the order of `row_of`."""


class FlaggedPayload(NamedTuple):
    """A payload whose sources contradict each other, or whose lookups were given up."""

    state: PayloadState
    since: datetime
    """When it last changed. Nothing is looked up for a flagged payload, so that is rarely later than its flag."""


def find(connection: Connection, app: str, payload: str) -> PayloadState | None:
    """The state of a payload, None if nothing is known of it."""
    known = (payloads.c.payload == payload, payloads.c.app == app, payloads.c.knowledge != UNKNOWN)
    row = connection.execute(select(*STATE).where(*known)).first()
    return None if row is None else state_of(row)


def load(connection: Connection, keys: Sequence[tuple[str, str]]) -> list[PayloadState | None]:
    """The states of payloads, each named by application and UUID, in the order asked for."""
    return [find(connection, app, payload) for app, payload in keys]


def find_all(connection: Connection, payload: str, app: str | None) -> list[PayloadState]:
    """The states under this UUID, flagged or not: one for each application, or that of ``app``."""
    statement = select(*STATE).where(payloads.c.payload == payload)
    if app is not None:
        statement = statement.where(payloads.c.app == app)
    return [state_of(row) for row in connection.execute(statement.order_by(payloads.c.app)).all()]


def list_flagged(connection: Connection, app: str | None, limit: int) -> list[FlaggedPayload]:
    """The first ``limit`` flagged payloads of an application (None: of all), those first that waited the longest."""
    statement = select(*STATE, payloads.c.updated_at).where(payloads.c.flags != 0)
    if app is not None:
        statement = statement.where(payloads.c.app == app)
    rows = connection.execute(statement.order_by(payloads.c.updated_at).limit(limit)).all()
    return [FlaggedPayload(state_of(row), from_micros(row[-1])) for row in rows]


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
        None if state.expires_at is None else to_micros(state.expires_at),
        orjson.dumps(
            [state.txid, state.user, state.snapshot, state.ledger, *_times(state), state.asked_of, state.asked_by]
        ),
        state.custom_meta,
    )


def state_of(row: Sequence[Any]) -> PayloadState:
    """The state in a row that begins with the values of `STATE`."""
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
        expires_at=None if expires_at is None else from_micros(expires_at),
        custom_meta=None if custom_meta is None else bytes(custom_meta),
        snapshot=_snapshot.validate_python(snapshot),
        ledger=_ledger.validate_python(ledger),
        end_notice=None if learned_at is None else EndNotice(source, from_micros(learned_at)),
        lookup_at=None if look_at is None else from_micros(look_at),
        asked_of=asked_of,
        asked_by=asked_by,
    )


def _times(state: PayloadState) -> tuple[Any, ...]:
    notice, lookup_at = state.end_notice, state.lookup_at
    noticed = (None, None) if notice is None else (notice.source, to_micros(notice.at))
    return *noticed, None if lookup_at is None else to_micros(lookup_at)
