"""Who calls: another service by its key, or a user by a session of ours or by a token of Xumm's."""

from collections.abc import Sequence
from typing import Final, Protocol

from aiohttp import hdrs, web

from processor.api.rate_limits import RateLimits
from processor.core.access.caller import PREFIX as SESSION_PREFIX
from processor.core.access.caller import Caller, ServiceCaller, UserCaller
from processor.core.access.service_key import PREFIX, Scope, ServiceKey, find_key
from processor.core.sign_request.order import owner_of
from processor.store.ports import SessionStore
from processor.web.problem import Problem

MAX_BEARER: Final = 4096
"""Characters: a JWT is longer than a key."""
_BEARER: Final = "bearer"
_GUESSED: Final = frozenset({"key_missing", "key_invalid"})


class TokenAuthenticator(Protocol):
    """Verifies one kind of tokens that Xumm issued."""

    async def authenticate(self, app_hint: str | None, bearer: str) -> UserCaller | None:
        """Return the user whom ``bearer`` proves; None if it is of another kind or proves nothing.

        Raises `Problem` if it cannot be verified now.
        """


class RequestAuthenticator:
    """Identifies the caller of a request by its bearer token: a session, a service key, or a token of Xumm's.

    Every method raises `Problem` and `StoreError`, and reads no byte of the body.
    """

    def __init__(
        self,
        keys: Sequence[ServiceKey],
        sessions: SessionStore,
        limits: RateLimits,
        authenticators: Sequence[TokenAuthenticator] = (),
    ) -> None:
        self._keys = keys
        self._sessions = sessions
        self._limits = limits
        self._authenticators = tuple(authenticators)

    async def admit(self, request: web.Request) -> Caller:
        """Identify the caller and count the call. Wrong tokens count by the client's address, right ones do not."""
        try:
            caller = await self._verify(read_bearer(request), request.query.get("app"))
        except Problem as problem:
            if problem.reason in _GUESSED:
                self._limits.count_address(request)
            raise
        if isinstance(caller, ServiceCaller):
            self._limits.count_service(caller.key.name)
        else:
            self._limits.count_caller(f"{caller.app}/{owner_of(caller)}")
        return caller

    async def authorize(self, request: web.Request, scope: Scope) -> Caller:
        """Identify the caller, count the call, and check the scope of a service's key."""
        caller = await self.admit(request)
        check_permission(caller, scope)
        return caller

    async def _verify(self, bearer: str, app_hint: str | None) -> Caller:
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
                user = await authenticator.authenticate(app_hint, bearer)
                if user is not None:
                    return user
        raise Problem("key_invalid")


def read_bearer(request: web.Request) -> str:
    """Return the bearer token (RFC 6750). Raises `Problem` if there is none."""
    scheme, _, bearer = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    bearer = bearer.strip()
    if scheme.lower() != _BEARER or not bearer:
        raise Problem("key_missing")
    if len(bearer) > MAX_BEARER or not bearer.isascii():
        raise Problem("key_invalid")
    return bearer


def check_permission(caller: Caller, scope: Scope, app: str | None = None) -> None:
    """Check that a user acts within their own application, and a service within its key. Raises `Problem`."""
    match caller:
        case UserCaller(app=own):
            if app not in {None, own}:
                raise Problem("application_forbidden")
        case ServiceCaller(key=key):
            if scope not in key.scopes:
                raise Problem("scope_missing")
            if app is not None and not key.covers(app):
                raise Problem("application_forbidden")
