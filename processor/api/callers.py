"""Who calls: another service by its key, or a user by a session of ours or by a token of Xumm's."""

from collections.abc import Sequence
from typing import Final, Protocol

from aiohttp import hdrs, web

from processor.api.endpoint import Gate
from processor.core.access.caller import Caller, ServiceCaller, Session, UserCaller
from processor.core.access.service_key import PREFIX, Scope, ServiceKey, find_key
from processor.core.sign_request.order import owner_of
from processor.store.sessions import PREFIX as SESSION_PREFIX
from processor.web.problem import Problem

MAX_BEARER: Final = 4096
"""Characters: a JWT is longer than a key."""
_BEARER: Final = "bearer"
_GUESSED: Final = frozenset({"key_missing", "key_invalid"})


class Authenticator(Protocol):
    """Another way to prove who one is."""

    async def user(self, app_hint: str | None, bearer: str) -> UserCaller | None:
        """Who presents ``bearer``; None if it is not for this to say, or not true. Raises `Problem` if unsure."""
        ...


class Sessions(Protocol):
    """Where sessions are kept."""

    async def find(self, token: str) -> Session | None:
        """The session of a token, None if there is none or its time is over. Raises `StoreError`."""
        ...


class Callers:
    """Tells who calls. Asks each ``authenticator`` in turn about what is neither a service key nor a session."""

    def __init__(
        self, keys: Sequence[ServiceKey], sessions: Sessions, gate: Gate, authenticators: Sequence[Authenticator] = ()
    ) -> None:
        self._keys = keys
        self._sessions = sessions
        self._gate = gate
        self._authenticators = tuple(authenticators)

    async def admitted(self, request: web.Request) -> Caller:
        """Who calls, and may call once more. Raises `Problem`, and `StoreError`; no byte of the body is read."""
        caller = await self.of(request)
        if isinstance(caller, ServiceCaller):
            self._gate.admit_service(caller.key.name)
        else:
            self._gate.admit(f"{caller.app}/{owner_of(caller)}")
        return caller

    async def permitted(self, request: web.Request, scope: Scope) -> Caller:
        """Who calls, admitted and permitted. Raises `Problem`, and `StoreError`; no byte of the body is read."""
        caller = await self.admitted(request)
        permitted(caller, scope)
        return caller

    async def of(self, request: web.Request) -> Caller:
        """Who calls. Raises `Problem`, and `StoreError`. Who keeps guessing is told to wait; who is right never is."""
        try:
            return await self._proven(bearer_of(request), request.query.get("app"))
        except Problem as problem:
            if problem.reason in _GUESSED:
                self._gate.admit_address(request)
            raise

    async def _proven(self, bearer: str, app_hint: str | None) -> Caller:
        if bearer.startswith(SESSION_PREFIX):
            session = await self._sessions.find(bearer)
            if session is None:
                raise Problem("key_invalid")
            return UserCaller(
                app=session.app,
                account=session.account,
                proven_by="session",
                user=session.user,
                expires_at=session.expires_at,
            )
        key = find_key(self._keys, bearer)
        if key is not None:
            return ServiceCaller(key=key)
        if not bearer.startswith(PREFIX):
            for authenticator in self._authenticators:
                user = await authenticator.user(app_hint, bearer)
                if user is not None:
                    return user
        raise Problem("key_invalid")


def bearer_of(request: web.Request) -> str:
    """The bearer token (RFC 6750). Raises `Problem` if there is none."""
    scheme, _, bearer = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    bearer = bearer.strip()
    if scheme.lower() != _BEARER or not bearer:
        raise Problem("key_missing")
    if len(bearer) > MAX_BEARER or not bearer.isascii():
        raise Problem("key_invalid")
    return bearer


def permitted(caller: Caller, scope: Scope, app: str | None = None) -> None:
    """Let a user through for their own application, a service for what its key says. Raises `Problem`."""
    match caller:
        case UserCaller(app=own):
            if app not in {None, own}:
                raise Problem("application_forbidden")
        case ServiceCaller(key=key):
            if scope not in key.scopes:
                raise Problem("scope_missing")
            if app is not None and not key.covers(app):
                raise Problem("application_forbidden")
