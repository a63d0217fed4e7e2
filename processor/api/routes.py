"""Which path leads to which handler."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from aiohttp import hdrs, web

from processor.api.callers import Authenticator, Callers, Sessions
from processor.api.devices import DeviceDesk
from processor.api.endpoint import Gate, Handler, endpoint, nowhere
from processor.api.events import EventStore, Streams
from processor.api.feed import Feed
from processor.api.me import MeDesk
from processor.api.me import SessionStore as Ended
from processor.api.openapi import PATH as OPENAPI_PATH
from processor.api.openapi import document
from processor.api.sign_in.handlers import RequestStore as SignInStore
from processor.api.sign_in.handlers import SessionStore as Exchange
from processor.api.sign_in.handlers import SignInDesk
from processor.api.sign_in.oauth2 import SignIns
from processor.api.sign_in.oauth2_handlers import OAuth2Desk
from processor.api.sign_requests.handlers import RequestStore as SignRequestStore
from processor.api.sign_requests.handlers import SignRequestDesk
from processor.api.sign_requests.returns import RequestStore as ReturnStore
from processor.api.sign_requests.returns import ReturnDesk
from processor.api.sign_requests.service import SignRequests
from processor.api.watches import WatchDesk
from processor.broker.port import Publisher
from processor.core.access.limits import CallLimits, RequestLimits, RequestShares
from processor.core.application import Application
from processor.settings.service import Settings, service_keys_of
from processor.watching.watch_requests import Registry
from processor.web.bodies import Bodies

REST: Final = "/v1/{rest:(?s:.*)}"
"""Whatever is no path of the interface."""


class RequestStore(SignRequestStore, SignInStore, ReturnStore, EventStore, Protocol):
    """Where sign requests and their events are kept."""


class SessionStore(Sessions, Exchange, Ended, Protocol):
    """Where sessions are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the interface is made of."""

    requests: SignRequests
    store: RequestStore
    sessions: SessionStore
    registry: Registry
    feed: Feed
    applications: Mapping[str, Application]
    settings: Settings
    bodies: Bodies
    commands: Publisher
    """The way to `schemas.topology.COMMANDS`."""
    clock: Callable[[], datetime]
    time: Callable[[], float]
    """Monotonic, in seconds."""
    authenticators: Sequence[Authenticator] = ()
    sign_ins: SignIns | None = None
    """Through Xumm's OAuth2 provider."""


class Interface:
    """All handlers for apps and services."""

    def __init__(self, parts: Parts) -> None:
        bounds = parts.settings.api
        shares = RequestShares(
            users=bounds.share_of_users, strangers=bounds.share_of_strangers, caller=bounds.share_of_one
        )
        self._parts = parts
        self._gate = Gate(
            callers=CallLimits(bounds.calls_per_minute),
            services=CallLimits(bounds.service_calls_per_minute),
            requests=RequestLimits(bounds.requests_per_minute, shares),
            time=parts.time,
            origins=frozenset(bounds.allowed_origins),
            proxies=bounds.trusted_proxies,
        )
        self._return_urls = {name: each.return_urls for name, each in parts.settings.applications.items()}
        self.callers = Callers(service_keys_of(parts.settings), parts.sessions, self._gate, parts.authenticators)
        self.streams = Streams(
            parts.store,
            parts.feed,
            self._gate,
            limit=bounds.streams,
            in_all=max(1, parts.settings.max_connections // 2),
        )

    def routes(self) -> Mapping[str, Handler]:
        """Each path's handler."""
        parts = self._parts

        async def openapi(_request: web.Request) -> web.StreamResponse:
            return web.Response(body=document(), content_type="application/json")

        methods: dict[str, Mapping[str, Handler]] = {
            OPENAPI_PATH: {hdrs.METH_GET: openapi},
            **self._sign_in().routes,
            **self._requests().routes,
            **self._devices().routes,
            **ReturnDesk(parts.store, self._gate, parts.settings.applications).routes,
            **MeDesk(self.callers.admitted, parts.sessions).routes,
            **WatchDesk(parts.registry, self.callers, parts.bodies).routes,
        }
        if parts.sign_ins is not None:
            methods |= OAuth2Desk(parts.sign_ins, self._gate, parts.bodies).routes
        rest = dict.fromkeys(hdrs.METH_ALL, nowhere)
        return {path: endpoint(self._gate, path, each) for path, each in (methods | {REST: rest}).items()}

    def _requests(self) -> SignRequestDesk:
        parts = self._parts
        return SignRequestDesk(
            parts.requests,
            parts.store,
            self.callers,
            self.streams,
            self._gate,
            applications=parts.applications,
            return_urls=self._return_urls,
            bodies=parts.bodies,
        )

    def _devices(self) -> DeviceDesk:
        parts = self._parts
        return DeviceDesk(
            callers=self.callers,
            publisher=parts.commands,
            applications=parts.applications,
            bodies=parts.bodies,
            clock=parts.clock,
        )

    def _sign_in(self) -> SignInDesk:
        parts = self._parts
        return SignInDesk(
            parts.requests,
            parts.store,
            parts.sessions,
            self.streams,
            self._gate,
            applications=parts.applications,
            return_urls=self._return_urls,
            bodies=parts.bodies,
            session_ttl=parts.settings.api.session_ttl,
        )
