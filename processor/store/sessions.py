"""Who signed in: a token of 256 random bits for the client, its SHA-256 for us."""

import secrets
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from processor.core.access.caller import Session
from processor.core.access.service_key import digest_of
from processor.store.tables import restored, sessions, stored

PREFIX: Final = "xws_"
"""So that a token that leaked into a text is recognised as one."""
_ENTROPY: Final = 32


def create(connection: Connection, session: Session, now: datetime, *, token: str | None = None) -> str:
    """Begin a session; its token, which is shown once and kept nowhere."""
    token = token or PREFIX + secrets.token_urlsafe(_ENTROPY)
    values = {
        "digest": digest_of(token),
        "app": session.app,
        "account": session.account,
        "user_reference": session.user,
        "created_at": stored(now),
        "expires_at": stored(session.expires_at),
    }
    connection.execute(insert(sessions).values(values))
    return token


def find(connection: Connection, token: str, now: datetime) -> Session | None:
    """The session of a token, None if there is none or its time is over."""
    valid = (sessions.c.digest == digest_of(token), sessions.c.expires_at > stored(now))
    row = connection.execute(select(sessions).where(*valid)).first()
    if row is None:
        return None
    return Session(app=row.app, account=row.account, user=row.user_reference, expires_at=restored(row.expires_at))


def end(connection: Connection, token: str) -> bool:
    """End a session before its time. False if there is none."""
    return connection.execute(delete(sessions).where(sessions.c.digest == digest_of(token))).rowcount == 1
