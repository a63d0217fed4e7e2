"""The interface put together: the handler of each operation, and the path that leads to it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from aiohttp import hdrs, web

from processor.api.callers import RequestAuthenticator
from processor.api.devices import DeviceHandlers
from processor.api.endpoint import build_endpoint
from processor.api.event_streams import EventNotifier, EventStreams
from processor.api.me import MeHandlers
from processor.api.operations import OPERATIONS, openapi_document
from processor.api.rate_limits import RateLimits
from processor.api.sign_in.handlers import SignInHandlers
from processor.api.sign_in.oauth2_handlers import OAuth2Handlers
from processor.api.sign_in.provider import IdentityProvider
from processor.api.sign_requests.app_links import AppLinkHandlers
from processor.api.sign_requests.creation import SignRequests
from processor.api.sign_requests.handlers import SignRequestHandlers
from processor.api.watches import WatchHandlers
from processor.broker.port import Publisher
from processor.core.access.limits import CallLimits, RequestLimits, RequestShares
from processor.core.application import Application
from processor.settings.service import Settings, service_keys_of
from processor.store.ports import SessionStore, SignRequestStore
from processor.watching.watch_requests import WatchRequests
from processor.web.bodies import Bodies
from processor.web.problem import Problem
from processor.web.server import Handler

_UNKNOWN_PATH: Final = "/v1/{rest:(?s:.*)}"


@dataclass(slots=True, kw_only=True)
class Interface:
    """The HTTP interface for apps and services."""

    requests: SignRequests
    store: SignRequestStore
    sessions: SessionStore
    watch_requests: WatchRequests
    notifier: EventNotifier
    applications: Mapping[str, Application]
    settings: Settings
    bodies: Bodies
    commands: Publisher
    """Publishes to the exchange `schemas.topology.COMMANDS`."""
    clock: Callable[[], datetime]
    provider: IdentityProvider
    """Without a flow, the operations of OAuth2 are not served."""
    streams: EventStreams = field(init=False)

    def __post_init__(self) -> None:
        """Build the event streams, which outlive requests."""
        self.streams = EventStreams(
            self.store,
            self.notifier,
            origins=frozenset(self.settings.api.allowed_origins),
            limit=self.settings.api.streams,
            in_all=max(1, self.settings.max_connections // 2),
        )

    def build_routes(self) -> Mapping[str, Handler]:
        """Build the handler of each path of `OPERATIONS`, and of the paths below ``/v1`` that are unknown."""
        handlers = self._build_handlers()
        methods: dict[str, dict[str, Handler]] = {}
        for operation in OPERATIONS:
            if operation.name in handlers:
                methods.setdefault(operation.path, {})[operation.method] = handlers[operation.name]
        methods[_UNKNOWN_PATH] = dict.fromkeys(sorted(hdrs.METH_ALL), _refuse_unknown_path)
        origins = frozenset(self.settings.api.allowed_origins)
        return {path: build_endpoint(path, each, origins) for path, each in methods.items()}

    def _build_handlers(self) -> Mapping[str, Handler]:
        """Build the handlers, by the names of their operations."""
        limits = self._build_limits()
        keys = service_keys_of(self.settings)
        authenticator = RequestAuthenticator(keys, self.sessions, limits, self.provider.authenticators)
        sign_in = self._build_sign_in(limits)
        requests = self._build_sign_requests(authenticator, limits)
        devices = DeviceHandlers(
            authenticator=authenticator,
            publisher=self.commands,
            applications=self.applications,
            bodies=self.bodies,
            clock=self.clock,
        )
        me = MeHandlers(admit=authenticator.admit, sessions=self.sessions)
        links = AppLinkHandlers(store=self.store, limits=limits, applications=self.settings.applications)
        watches = WatchHandlers(watch_requests=self.watch_requests, authenticator=authenticator, bodies=self.bodies)
        return self._build_oauth2(limits) | {
            "beginSignIn": sign_in.begin,
            "getSignIn": sign_in.get_status,
            "followSignIn": sign_in.follow,
            "takeSession": sign_in.take_session,
            "signOut": me.sign_out,
            "getMe": me.get_me,
            "createSignRequest": requests.create,
            "listSignRequests": requests.list_page,
            "getSignRequest": requests.get_status,
            "cancelSignRequest": requests.cancel,
            "followSignRequest": requests.follow,
            "registerDevice": devices.register,
            "removeDevice": devices.remove,
            "getReturn": links.get_return,
            "watch": watches.watch,
            "getOpenApi": _get_openapi,
            "getAppleApps": links.get_apple_apps,
            "getAndroidApps": links.get_android_apps,
        }

    def _build_limits(self) -> RateLimits:
        settings = self.settings.api
        portions = RequestShares(
            users=settings.share_of_users, strangers=settings.share_of_strangers, caller=settings.share_of_one
        )
        return RateLimits(
            callers=CallLimits(settings.calls_per_minute),
            services=CallLimits(settings.service_calls_per_minute),
            requests=RequestLimits(settings.requests_per_minute, portions),
            time=time.monotonic,
            proxies=settings.trusted_proxies,
        )

    def _build_sign_in(self, limits: RateLimits) -> SignInHandlers:
        return SignInHandlers(
            requests=self.requests,
            store=self.store,
            sessions=self.sessions,
            streams=self.streams,
            limits=limits,
            applications=self.settings.applications,
            bodies=self.bodies,
            session_ttl=self.settings.api.session_ttl,
        )

    def _build_sign_requests(self, authenticator: RequestAuthenticator, limits: RateLimits) -> SignRequestHandlers:
        return SignRequestHandlers(
            requests=self.requests,
            store=self.store,
            authenticator=authenticator,
            streams=self.streams,
            limits=limits,
            applications=self.settings.applications,
            bodies=self.bodies,
        )

    def _build_oauth2(self, limits: RateLimits) -> dict[str, Handler]:
        if self.provider.flow is None:
            return {}
        handlers = OAuth2Handlers(flow=self.provider.flow, limits=limits, bodies=self.bodies)
        return {"startOAuth2": handlers.start, "finishOAuth2": handlers.finish, "redeemOAuth2": handlers.redeem}


async def _get_openapi(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=openapi_document(), content_type="application/json")


async def _refuse_unknown_path(_request: web.Request) -> web.StreamResponse:
    raise Problem("not_found")
