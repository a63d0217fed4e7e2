"""Who calls Xumm's API: an application with its secret, its user with a token, its xApp with a one-time token, anybody.

Source: https://github.com/XRPL-Labs/XUMM-SDK/blob/main/src/Meta.ts
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from processor.sandbox.identity import Identity
from processor.sandbox.payload import Application


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCaller:
    """For whom a call is answered."""

    application: Application
    claims: Mapping[str, Any] = field(default_factory=dict)
    """What the token of a user says."""

    @property
    def account(self) -> str:
        """The user's, who called with a token."""
        return str(self.claims["sub"])


ANYBODY = ApiCaller(application=Application(key="", secret=""))
Identify = Callable[[web.Request], ApiCaller | None]


class ApiCallers:
    """Tells callers by what their requests bear. None for who bears nothing valid."""

    def __init__(self, applications: Mapping[str, Application], identity: Identity) -> None:
        self._applications = applications
        self._identity = identity

    def by_secret(self, request: web.Request) -> ApiCaller | None:
        """The application whose key and secret the headers bear."""
        caller = self.by_key(request)
        offered = request.headers.get("x-api-secret", "")
        if caller is None or not hmac.compare_digest(caller.application.secret.encode(), offered.encode()):
            return None
        return caller

    def by_key(self, request: web.Request) -> ApiCaller | None:
        """The application whose key the headers bear: enough for who has a one-time token."""
        application = self._applications.get(request.headers.get("x-api-key", ""))
        return ApiCaller(application=application) if application else None

    def by_token(self, request: web.Request) -> ApiCaller | None:
        """The user whose token is borne, be it of the provider or of an xApp."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        claims = self._identity.read(token) or self._identity.read_xapp(token, self._applications)
        application = self._applications.get(str(claims["client_id"])) if claims else None
        return ApiCaller(application=application, claims=claims or {}) if application else None


def anybody(_request: web.Request) -> ApiCaller | None:
    """What is public is told to everybody."""
    return ANYBODY
