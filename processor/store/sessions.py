"""Sessions: the client holds a token of 256 random bits, the table its SHA-256."""

import secrets
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from processor.core.access.caller import PREFIX, Session
from processor.core.access.service_key import digest_of
from processor.store.sign_requests import take_exchange
from processor.store.tables import from_micros, sessions, to_micros

_ENTROPY: Final = 32


def create(connection: Connection, session: Session, now: datetime, *, token: str | None = None) -> str:
    """Begin a session; its token, which is returned once and kept nowhere."""
    token = token or PREFIX + secrets.token_urlsafe(_ENTROPY)
    values = {
        "digest": digest_of(token),
        "app": session.app,
        "account": session.account,
        "user_reference": session.user,
        "created_at": to_micros(now),
        "expires_at": to_micros(session.expires_at),
    }
    connection.execute(insert(sessions).values(values))
    return token


def exchange(connection: Connection, payload: str, digest: bytes, session: Session, now: datetime) -> str | None:
    """Begin the session of a sign-in; its token. None if the exchange secret is unknown or was used before."""
    return create(connection, session, now) if take_exchange(connection, payload, digest, now) else None


def find(connection: Connection, token: str, now: datetime) -> Session | None:
    """The session of a token, None if there is none or it has expired."""
    valid = (sessions.c.digest == digest_of(token), sessions.c.expires_at > to_micros(now))
    row = connection.execute(select(sessions).where(*valid)).first()
    if row is None:
        return None
    return Session(app=row.app, account=row.account, user=row.user_reference, expires_at=from_micros(row.expires_at))


def end(connection: Connection, token: str) -> bool:
    """End a session before its time. False if there is none."""
    return connection.execute(delete(sessions).where(sessions.c.digest == digest_of(token))).rowcount == 1
