"""Sign requests: reserved before Xumm is asked, so that no crash and no repetition makes two payloads of one request.

A reservation is held for longer than asking Xumm can take. A repetition after that takes the request over, and looks
at Xumm for a payload with its identifier before it creates one.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, update

from processor.core.publishing.message import OutboxMessage
from processor.core.sign_request.request import Draft, Reservation, StoredRequest
from processor.database import insert_into
from processor.store.outbox import EVENT, load_messages
from processor.store.tables import events, from_micros, request_events, sign_requests, to_micros

EARLIER: Final = 10_000
"""How many of the newest events are searched for those of a payload that were recorded before `complete`."""
_PLACED: Final = request_events.join(events, events.c.position == request_events.c.position)


def reserve(connection: Connection, draft: Draft, now: datetime, hold: timedelta) -> Reservation:
    """Reserve a sign request for ``hold``, or tell why not. Of several callers at the same time, one gets it."""
    held_until = to_micros(now + hold)
    insert = insert_into(connection.dialect, sign_requests).values(_values(draft, now) | {"held_until": held_until})
    if connection.execute(insert.on_conflict_do_nothing().returning(sign_requests.c.id)).scalar() is not None:
        named = and_(sign_requests.c.app == draft.app, sign_requests.c.identifier == draft.identifier)
        return Reservation("new", _one(connection, named))
    known = connection.execute(select(sign_requests).where(*_same(draft)).with_for_update()).first()
    if known is None:
        return Reservation("identifier_taken", None)
    if bytes(known.request_digest) != draft.request_digest:
        return Reservation("conflict", None)
    if known.payload is not None:
        return Reservation("done", _request(known))
    if known.held_until > to_micros(now):
        return Reservation("in_progress", None)
    connection.execute(update(sign_requests).where(sign_requests.c.id == known.id).values(held_until=held_until))
    return Reservation("taken_over", _request(known))


def renew_state(connection: Connection, number: int, digest: bytes | None) -> None:
    """Replace the state of the return URL: the payload is created anew."""
    connection.execute(update(sign_requests).where(sign_requests.c.id == number).values(state_digest=digest))


def complete(connection: Connection, request: StoredRequest, payload: str, answer: bytes, *, late: bool) -> None:
    """Keep the payload and the caller's answer. ``late``: the payload may have events already; they are added."""
    values = {"payload": payload, "answer": answer}
    connection.execute(update(sign_requests).where(sign_requests.c.id == request.id).values(values))
    if late:
        _add_earlier_events(connection, request.app, payload)


def release(connection: Connection, number: int, until: datetime | None) -> None:
    """Forget a reservation; or hold it ``until`` then, if Xumm may have created the payload."""
    mine = (sign_requests.c.id == number, sign_requests.c.payload.is_(None))
    if until is None:
        connection.execute(delete(sign_requests).where(*mine))
    else:
        connection.execute(update(sign_requests).where(*mine).values(held_until=to_micros(until)))


def find(connection: Connection, payload: str) -> StoredRequest | None:
    """The sign request of a payload."""
    return _one(connection, sign_requests.c.payload == payload)


def list_newest(
    connection: Connection, apps: Collection[str] | None, owner: str | None, before: int | None, limit: int
) -> list[StoredRequest]:
    """The newest ``limit`` of ``owner`` (None: of everybody) in ``apps`` (None: all) with an id below ``before``."""
    wanted: list[ColumnElement[bool]] = [sign_requests.c.payload.is_not(None), sign_requests.c.kind == "sign_request"]
    if apps is not None:
        wanted.append(sign_requests.c.app.in_(apps))
    if owner is not None:
        wanted.append(sign_requests.c.owner == owner)
    if before is not None:
        wanted.append(sign_requests.c.id < before)
    statement = select(sign_requests).where(*wanted).order_by(sign_requests.c.id.desc()).limit(limit)
    return [_request(row) for row in connection.execute(statement)]


def find_sign_in(connection: Connection, payload: str, digest: bytes) -> StoredRequest | None:
    """The sign-in of a payload, if its exchange secret has this digest."""
    return _one(connection, and_(sign_requests.c.payload == payload, sign_requests.c.exchange_digest == digest))


def take_exchange(connection: Connection, payload: str, digest: bytes, now: datetime) -> bool:
    """Use up the exchange secret of a sign-in. False if it is unknown or was used before."""
    unused = (
        sign_requests.c.payload == payload,
        sign_requests.c.exchange_digest == digest,
        sign_requests.c.exchanged_at.is_(None),
    )
    return connection.execute(update(sign_requests).where(*unused).values(exchanged_at=to_micros(now))).rowcount == 1


def take_state(connection: Connection, digest: bytes, now: datetime) -> StoredRequest | None:
    """Use up the state of a return URL: its sign request, None if there is none or the state was used before."""
    unused = (sign_requests.c.state_digest == digest, sign_requests.c.returned_at.is_(None))
    if connection.execute(update(sign_requests).where(*unused).values(returned_at=to_micros(now))).rowcount != 1:
        return None
    return _one(connection, sign_requests.c.state_digest == digest)


def load_events(connection: Connection, app: str, payload: str, after: int, limit: int) -> list[OutboxMessage]:
    """The first ``limit`` events of a payload that was created here, with a position over ``after``, in order."""
    mine = (request_events.c.payload == payload, request_events.c.app == app, request_events.c.position > after)
    statement = select(*EVENT).select_from(_PLACED).where(*mine).order_by(request_events.c.position).limit(limit)
    return load_messages(connection, statement)


def forget_events(connection: Connection, limit: int) -> int:
    """Remove the references to events that were removed; how many those were."""
    first = select(func.coalesce(func.min(events.c.position), 0)).scalar_subquery()
    gone = select(request_events.c.position).where(request_events.c.position < first).limit(limit).scalar_subquery()
    return connection.execute(delete(request_events).where(request_events.c.position.in_(gone))).rowcount


def _add_earlier_events(connection: Connection, app: str, payload: str) -> None:
    """Add the events that were recorded before the payload was known to be created here."""
    newest = select(func.coalesce(func.max(events.c.position), 0)).scalar_subquery()
    recent = (events.c.position > newest - EARLIER, events.c.payload == payload, events.c.app == app)
    found = select(events.c.payload, events.c.app, events.c.position).where(*recent)
    insert = insert_into(connection.dialect, request_events).from_select(["payload", "app", "position"], found)
    connection.execute(insert.on_conflict_do_nothing())


def _values(draft: Draft, now: datetime) -> dict[str, Any]:
    times = {"reserved_at": to_micros(now), "expires_at": to_micros(draft.expires_at)}
    return asdict(draft) | times | {"submit": int(draft.submit)}


def _same(draft: Draft) -> Sequence[ColumnElement[bool]]:
    """The request that this may repeat: that with its key; without a key, the incomplete one with its identifier."""
    mine = (sign_requests.c.app == draft.app, sign_requests.c.owner == draft.owner)
    if draft.key_digest is not None:
        return (*mine, sign_requests.c.key_digest == draft.key_digest)
    incomplete = (sign_requests.c.key_digest.is_(None), sign_requests.c.payload.is_(None))
    return (*mine, sign_requests.c.identifier == draft.identifier, *incomplete)


def _one(connection: Connection, condition: ColumnElement[bool]) -> StoredRequest | None:
    row = connection.execute(select(sign_requests).where(condition)).first()
    return None if row is None else _request(row)


def _request(row: Any) -> StoredRequest:
    return StoredRequest(
        id=row.id,
        app=row.app,
        owner=row.owner,
        kind=row.kind,
        identifier=row.identifier,
        account=row.account,
        tx_type=row.tx_type,
        submit=bool(row.submit),
        reserved_at=from_micros(row.reserved_at),
        expires_at=from_micros(row.expires_at),
        payload=row.payload,
        answer=None if row.answer is None else bytes(row.answer),
    )
