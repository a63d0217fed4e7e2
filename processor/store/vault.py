"""User tokens at rest: sealed in the transaction of the report that brought them. Without keys nothing is kept."""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Dialect, and_, case, null, or_, select, update

from processor.core.errors import SealingError
from processor.core.payload.user_token import KnownToken, Owner, TokenFacts, known_token
from processor.core.reports.report import Report
from processor.core.sign_request.sealing import NONCE_BYTES, Binding, Keyring, Sealed
from processor.database import Insert
from processor.store.rows import Upsert
from processor.store.tables import restored, stored, user_tokens

_PUT: Final = [
    user_tokens.c[name]
    for name in (
        "app",
        "user_reference",
        "application",
        "account",
        "key_id",
        "sealed",
        "signed_at",
        "expires_at",
        "suspect",
    )
]
_BATCH: Final = 500


class Vault:
    """Keeps tokens for one database under one ring of keys."""

    def __init__(self, dialect: Dialect, keyring: Keyring) -> None:
        self.keyring = keyring
        self._put = Upsert(dialect, _PUT, _on_conflict)

    def keep(self, connection: Connection, reports: Iterable[Report]) -> None:
        """Store the tokens that came with signatures: one row for each user, the same order for everybody."""
        tokens: dict[tuple[str, str], KnownToken] = {}
        for report in reports:
            token = known_token(report)
            if token is not None:
                key = (token.app, token.user)
                tokens[key] = _merged(tokens.get(key), token)
        self._put(connection, [self._row(tokens[key]) for key in sorted(tokens)])

    def bind(self, connection: Connection, owners: Iterable[Owner]) -> None:
        """Seal the tokens of nobody yet anew as their owners', the same order for everybody."""
        for app, user, account in sorted(set(owners)):
            nobodys = (*_same(app, user), user_tokens.c.account.is_(None), user_tokens.c.revoked_at.is_(None))
            row = connection.execute(select(user_tokens).where(*nobodys).with_for_update()).first()
            if row is None:
                continue
            try:
                token = self.open(row)
            except SealingError:  # its key is gone: it stays as useless as it was
                continue
            sealed = self.keyring.seal(token, Binding(row.application, user, account), os.urandom(NONCE_BYTES))
            values = {"account": account, "key_id": sealed.key_id, "sealed": sealed.box}
            connection.execute(update(user_tokens).where(*nobodys).values(values))

    def open(self, row: Any) -> str:
        """The token in a row of `user_tokens`. Raises `SealingError`."""
        return self.keyring.open(Sealed(row.key_id, bytes(row.sealed)), _binding(row))

    def rotate(self, connection: Connection) -> tuple[int, int]:
        """Seal with the active key what others sealed: how many there were, and how many of them did not open."""
        resealed = broken = 0
        rows = connection.execute(
            select(user_tokens).where(user_tokens.c.key_id != self.keyring.active, user_tokens.c.revoked_at.is_(None))
        )
        for row in rows.all():
            try:
                token = self.open(row)
            except SealingError:
                broken += 1
                continue
            sealed = self.keyring.seal(token, _binding(row), os.urandom(NONCE_BYTES))
            values = {"key_id": sealed.key_id, "sealed": sealed.box}
            connection.execute(update(user_tokens).where(*_same(row.app, row.user_reference)).values(values))
            resealed += 1
        return resealed, broken

    def _row(self, token: KnownToken) -> tuple[Any, ...]:
        binding = Binding(token.application, token.user, token.account)
        sealed = self.keyring.seal(token.value, binding, os.urandom(NONCE_BYTES))
        times = (stored(token.signed_at), stored(token.expires_at))
        return (token.app, token.user, token.application, token.account, sealed.key_id, sealed.box, *times, 0)


def of_account(connection: Connection, app: str, account: str, now: datetime) -> Any:
    """The row of the token of ``account`` that was signed with last, None if there is none that may be alive."""
    alive = (
        user_tokens.c.app == app,
        user_tokens.c.account == account,
        user_tokens.c.revoked_at.is_(None),
        user_tokens.c.expires_at > stored(now),
    )
    return connection.execute(
        select(user_tokens).where(*alive).order_by(user_tokens.c.signed_at.desc()).limit(1)
    ).first()


def checked(connection: Connection, facts: TokenFacts, now: datetime, *, active: bool) -> None:
    """Note what Xumm said of a token. One that is revoked is deleted, but for the fact."""
    dead = {"revoked_at": stored(now), "sealed": b""}
    values = {"checked_at": stored(now), "suspect": 0} | ({} if active else dead)
    connection.execute(update(user_tokens).where(*_same(facts.app, facts.user)).values(values))


def suspect(connection: Connection, facts: TokenFacts) -> None:
    """Note that a push with it led nowhere."""
    connection.execute(update(user_tokens).where(*_same(facts.app, facts.user)).values(suspect=1))


def listed(connection: Connection, app: str | None, limit: int) -> list[TokenFacts]:
    """What is known of tokens, those first that were signed with last."""
    statement = select(user_tokens).order_by(user_tokens.c.signed_at.desc()).limit(limit)
    if app is not None:
        statement = statement.where(user_tokens.c.app == app)
    return [facts_of(row) for row in connection.execute(statement)]


def facts_of(row: Any) -> TokenFacts:
    """A row without its token."""
    return TokenFacts(
        row.app,
        row.application,
        row.user_reference,
        row.account,
        row.key_id,
        restored(row.signed_at),
        restored(row.expires_at),
        None if row.checked_at is None else restored(row.checked_at),
        bool(row.suspect),
        None if row.revoked_at is None else restored(row.revoked_at),
    )


def _merged(old: KnownToken | None, new: KnownToken) -> KnownToken:
    if old is None:
        return new
    return new._replace(
        account=new.account or old.account,
        signed_at=max(old.signed_at, new.signed_at),
        expires_at=max(old.expires_at, new.expires_at),
    )


def _binding(row: Any) -> Binding:
    return Binding(row.application, row.user_reference, row.account)


def _same(app: str, user: str) -> Sequence[Any]:
    return user_tokens.c.app == app, user_tokens.c.user_reference == user


def _on_conflict(insert: Insert) -> Insert:
    """What is sealed is replaced where the new row says whose it is, or has as much to say, since both go together."""
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
