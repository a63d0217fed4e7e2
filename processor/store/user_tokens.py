"""User tokens at rest: sealed in the transaction of the report that brings them. Without keys none is kept."""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Dialect, and_, case, null, or_, select, update

from processor.core.errors import SealingError
from processor.core.reports.report import Report
from processor.core.sign_request.sealing import NONCE_BYTES, Keyring, Sealed, TokenBinding
from processor.core.sign_request.user_token import ReceivedToken, TokenFacts, TokenOwner, extract_token
from processor.database import Insert
from processor.store.rows import Upsert
from processor.store.tables import from_micros, to_micros, user_tokens

_PUT: Final = [*[*user_tokens.c][:8], user_tokens.c.suspect]


class SealedToken(NamedTuple):
    """A user token at rest."""

    facts: TokenFacts
    sealed: Sealed

    def open(self, keyring: Keyring) -> str:
        """The token itself. Raises `SealingError`."""
        return keyring.open(self.sealed, _binding(self.facts))


class TokenSealer:
    """Seals the tokens that reports bring, for one database, with one keyring."""

    def __init__(self, dialect: Dialect, keyring: Keyring) -> None:
        self._keyring = keyring
        self._put = Upsert(dialect, _PUT, _on_conflict)

    def keep(self, connection: Connection, reports: Iterable[Report]) -> None:
        """Store the tokens that came with signatures: one row for each user, in an order that excludes deadlocks."""
        tokens: dict[tuple[str, str], ReceivedToken] = {}
        for report in reports:
            token = extract_token(report)
            if token is not None:
                key = (token.app, token.user)
                tokens[key] = _merge(tokens.get(key), token)
        self._put(connection, [self._row(tokens[key]) for key in sorted(tokens)])

    def bind(self, connection: Connection, owners: Iterable[TokenOwner]) -> None:
        """Seal the tokens without an account anew as their owners', in an order that excludes deadlocks."""
        for app, user, account in sorted(set(owners)):
            unbound = (*_same(app, user), user_tokens.c.account.is_(None), user_tokens.c.revoked_at.is_(None))
            row = connection.execute(select(user_tokens).where(*unbound).with_for_update()).first()
            if row is None:
                continue
            try:
                values = _reseal(row, self._keyring, account)
            except SealingError:  # its key is gone: it stays as useless as it was
                continue
            connection.execute(update(user_tokens).where(*unbound).values(values))

    def _row(self, token: ReceivedToken) -> tuple[Any, ...]:
        binding = TokenBinding(token.application_uuid, token.user, token.account)
        sealed = self._keyring.seal(token.value, binding, os.urandom(NONCE_BYTES))
        times = (to_micros(token.signed_at), to_micros(token.expires_at))
        return (token.app, token.user, token.application_uuid, token.account, sealed.key_id, sealed.box, *times, 0)


def find(connection: Connection, app: str, account: str, now: datetime) -> SealedToken | None:
    """The token of ``account`` that was signed with last, None if none may be alive."""
    alive = (
        user_tokens.c.app == app,
        user_tokens.c.account == account,
        user_tokens.c.revoked_at.is_(None),
        user_tokens.c.expires_at > to_micros(now),
    )
    latest = select(user_tokens).where(*alive).order_by(user_tokens.c.signed_at.desc()).limit(1)
    row = connection.execute(latest).first()
    return None if row is None else _token(row)


def note_check(connection: Connection, facts: TokenFacts, now: datetime, *, active: bool) -> None:
    """Note Xumm's answer about a token. A revoked one is deleted, except for the fact."""
    dead = {"revoked_at": to_micros(now), "sealed": b""}
    values = {"checked_at": to_micros(now), "suspect": 0} | ({} if active else dead)
    connection.execute(update(user_tokens).where(*_same(facts.app, facts.user)).values(values))


def mark_suspect(connection: Connection, facts: TokenFacts) -> None:
    """Note that Xumm pushed nothing with a token."""
    connection.execute(update(user_tokens).where(*_same(facts.app, facts.user)).values(suspect=1))


def list_latest(connection: Connection, app: str | None, limit: int) -> list[TokenFacts]:
    """The facts about the tokens of an application (None: of all), those first that were signed with last."""
    statement = select(user_tokens).order_by(user_tokens.c.signed_at.desc()).limit(limit)
    if app is not None:
        statement = statement.where(user_tokens.c.app == app)
    return [_facts(row) for row in connection.execute(statement)]


def rotate(connection: Connection, keyring: Keyring) -> tuple[int, int]:
    """Seal the tokens anew that another than the active key sealed: how many were, and how many did not open."""
    resealed = broken = 0
    outdated = (user_tokens.c.key_id != keyring.active, user_tokens.c.revoked_at.is_(None))
    for row in connection.execute(select(user_tokens).where(*outdated)).all():
        try:
            values = _reseal(row, keyring, row.account)
        except SealingError:
            broken += 1
            continue
        connection.execute(update(user_tokens).where(*_same(row.app, row.user_reference)).values(values))
        resealed += 1
    return resealed, broken


def _reseal(row: Any, keyring: Keyring, account: str | None) -> dict[str, Any]:
    """What changes in a row when its token is sealed with the active key as that of ``account``."""
    token = _token(row).open(keyring)
    sealed = keyring.seal(token, TokenBinding(row.application, row.user_reference, account), os.urandom(NONCE_BYTES))
    return {"account": account, "key_id": sealed.key_id, "sealed": sealed.box}


def _token(row: Any) -> SealedToken:
    return SealedToken(_facts(row), Sealed(row.key_id, bytes(row.sealed)))


def _facts(row: Any) -> TokenFacts:
    return TokenFacts(
        row.app,
        row.application,
        row.user_reference,
        row.account,
        row.key_id,
        from_micros(row.signed_at),
        from_micros(row.expires_at),
        None if row.checked_at is None else from_micros(row.checked_at),
        bool(row.suspect),
        None if row.revoked_at is None else from_micros(row.revoked_at),
    )


def _merge(old: ReceivedToken | None, new: ReceivedToken) -> ReceivedToken:
    if old is None:
        return new
    return new._replace(
        account=new.account or old.account,
        signed_at=max(old.signed_at, new.signed_at),
        expires_at=max(old.expires_at, new.expires_at),
    )


def _binding(facts: TokenFacts) -> TokenBinding:
    return TokenBinding(facts.application_uuid, facts.user, facts.account)


def _same(app: str, user: str) -> Sequence[Any]:
    return user_tokens.c.app == app, user_tokens.c.user_reference == user


def _on_conflict(insert: Insert) -> Insert:
    """The sealed token is replaced, with its account, if the new row names an account or the old one names none."""
    old, new = user_tokens.c, insert.excluded
    rebound = or_(new.account.is_not(None), old.account.is_(None), old.revoked_at.is_not(None))
    bound = ("application", "account", "key_id", "sealed")
    replaced = {name: case((rebound, new[name]), else_=old[name]) for name in bound}
    latest = {name: case((new[name] > old[name], new[name]), else_=old[name]) for name in ("signed_at", "expires_at")}
    latest["suspect"] = case((new.signed_at > old.signed_at, new.suspect), else_=old.suspect)
    signed_anew = or_(old.revoked_at.is_(None), new.signed_at > old.revoked_at)
    return insert.on_conflict_do_update(
        index_elements=[old.app, old.user_reference],
        set_=replaced | latest | {"revoked_at": null()},
        where=and_(signed_anew, or_(rebound, new.signed_at > old.signed_at, new.expires_at > old.expires_at)),
    )
