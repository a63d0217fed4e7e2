"""Payloads that wait for a human: sources contradict each other, or looking the outcome up was given up."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from processor.core.payload.state import PayloadState
from processor.store.knowledge import STATE, state_of
from processor.store.tables import payloads, restored


class FlaggedPayload(NamedTuple):
    """One of them."""

    state: PayloadState
    since: datetime
    """When it last changed. Once it is flagged nothing is looked up for it any more, so that is rarely later."""


def listed(connection: Connection, app: str | None, limit: int) -> list[FlaggedPayload]:
    """The first ``limit`` of an application (None: of all), those first that have waited the longest."""
    statement = select(*STATE, payloads.c.updated_at).where(payloads.c.flags != 0)
    if app is not None:
        statement = statement.where(payloads.c.app == app)
    rows = connection.execute(statement.order_by(payloads.c.updated_at).limit(limit)).all()
    return [FlaggedPayload(state_of(row), restored(row[-1])) for row in rows]


def named(connection: Connection, payload: str, app: str | None) -> list[PayloadState]:
    """What is known under this uuid: one state for each application (or of ``app``), flagged or not."""
    statement = select(*STATE).where(payloads.c.payload == payload)
    if app is not None:
        statement = statement.where(payloads.c.app == app)
    return [state_of(row) for row in connection.execute(statement.order_by(payloads.c.app)).all()]
