"""The sandbox put together: API, phone, sockets, ledgers and identity provider on one port of 127.0.0.1.

Webhooks go out from it.

>>> async with Sandbox([application]) as sandbox:
...     payload = sandbox.create({"txjson": {"TransactionType": "SignIn"}})
...     sandbox.sign(payload.uuid)
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from aiohttp import web

from processor.sandbox.attempt import Attempt
from processor.sandbox.caller import ApiCallers
from processor.sandbox.clock import Clock, NewId, Sleep, random_uuid, utc_now
from processor.sandbox.control import control_routes
from processor.sandbox.faults import Faults, FaultTable
from processor.sandbox.gate import check_names
from processor.sandbox.guard import ApiGuard
from processor.sandbox.identity import Identity
from processor.sandbox.ledger import Ledger, Pace, ledger_routes
from processor.sandbox.limits import Limits
from processor.sandbox.network import NETWORKS
from processor.sandbox.oauth2 import Provider
from processor.sandbox.payload import Application, Dispatch, Payload, Signature, SignRequest
from processor.sandbox.phone import phone_routes
from processor.sandbox.provider import provider_routes
from processor.sandbox.qr import qr_routes
from processor.sandbox.request import parse_request
from processor.sandbox.rest import PREFIX, RestApi
from processor.sandbox.sender import Sender, Timing
from processor.sandbox.signing import Place, Signed, Signing, Wallets
from processor.sandbox.state import Cancellation, Payloads
from processor.sandbox.status import DISPATCHED, FETCHED, KEEPALIVE, OPENED, PRE_SIGNED, StatusSockets
from processor.sandbox.tokens import UserTokens
from processor.sandbox.wallet import transaction_id
from processor.sandbox.webhooks import Webhooks
from processor.sandbox.xapps import XApps

_CLOSE_WITHIN = 0.2
"""Seconds that a call may still take when the sandbox closes: some are meant never to be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Where to listen, and how strict and how fast to be; the defaults are Xumm's own."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 for a free one."""
    limits: Limits = field(default_factory=Limits)
    ledger: Pace = field(default_factory=Pace)
    sender: Timing = field(default_factory=Timing)
    keepalive: timedelta = KEEPALIVE
    """How often a status socket is told when its payload expires."""
    network: str = "MAINNET"
    """The network that wallets are on, a key of `NETWORKS`, and the one of the ledger on ``/ledger``."""
    issuer: str | None = None
    """What tokens name as their issuer, if not the address: Xumm has ``oauth2.xumm.app`` and ``oauth2.xaman.app``."""
    hosts: tuple[str, ...] = ()
    """Names under which it answers besides those of this machine and the one of ``public_url``."""
    public_url: str | None = None
    """Where clients find the sandbox, if not on its port, such as ``https://…`` before a proxy; no slash at the end."""


class Sandbox:
    """A running Xumm with its ledgers. The drivers do what a user would, and set off webhooks and status messages.

    ``faults`` says what goes wrong, and can be changed at any time. ``on_change`` is told of each payload that is made
    or comes into another situation.
    """

    def __init__(
        self,
        applications: Sequence[Application],
        settings: SandboxSettings | None = None,
        *,
        clock: Clock = utc_now,
        sleep: Sleep = asyncio.sleep,
        new_id: NewId = random_uuid,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> None:
        self.settings = settings or SandboxSettings()
        self.applications = {application.key: application for application in applications}
        self.faults = FaultTable()
        self.on_change: Callable[[Payload], None] = lambda _payload: None
        self._clock = clock
        self.payloads = Payloads(clock=clock, new_id=new_id, on_move=self._moved)
        self.statuses = StatusSockets(self.payloads, self.faults, clock=clock, keepalive=self.settings.keepalive)
        self.tokens = UserTokens(clock=clock, new_id=new_id)
        self.provider = self._provider(new_id)
        self.xapps = XApps(self.provider.identity, network=NETWORKS[self.settings.network], clock=clock, new_id=new_id)
        self.ledgers = {
            name: Ledger(clock=clock, network=network, pace=self.settings.ledger) for name, network in NETWORKS.items()
        }
        self.ledger = self.ledgers[self.settings.network]
        self.sender = Sender(clock=clock, sleep=sleep, timing=self.settings.sender, on_attempt=on_attempt)
        self._webhooks = Webhooks(self.sender, self.faults)
        self._wallets = Wallets()
        self.guard = ApiGuard(limits=self.settings.limits, faults=self.faults, clock=clock, new_id=new_id)
        self._rest = RestApi(
            self,
            ApiCallers(self.applications, self.provider.identity),
            self.guard,
            clock=clock,
            new_id=new_id,
            on_fetched=lambda uuid: self.statuses.tell(uuid, FETCHED),
        )
        self._stack = AsyncExitStack()
        self._port = 0

    def _provider(self, new_id: NewId) -> Provider:
        return Provider(
            self.applications,
            Identity(self.tokens, clock=self._clock, new_id=new_id),
            network=NETWORKS[self.settings.network],
            faults=self.faults,
            clock=self._clock,
            new_id=new_id,
        )

    @property
    def port(self) -> int:
        """The port on which everything is, once it runs."""
        return self._port

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:<port>`` unless set, in the place of ``https://xumm.app``."""
        return self.settings.public_url or f"http://{self.settings.host}:{self._port}"

    @property
    def issuer(self) -> str:
        """What tokens name as their issuer."""
        return self.settings.issuer or self.base_url

    @property
    def api_url(self) -> str:
        """Where the API for applications begins, without a slash at the end."""
        return self.base_url + PREFIX

    @property
    def ledger_url(self) -> str:
        """Where the ledger answers JSON-RPC; with ``/`` and the name of a network behind it, that one's."""
        return f"{self.base_url}/ledger"

    def create(
        self,
        request: SignRequest | Mapping[str, Any],
        *,
        application: Application | None = None,
    ) -> Payload:
        """A new payload of ``application``, the first one unless named.

        A mapping is read as the body of ``POST payload``. Raises ``pydantic.ValidationError``,
        `DuplicateIdentifierError`.
        """
        owner = application or next(iter(self.applications.values()))
        asked = request if isinstance(request, SignRequest) else parse_request(request)
        pushed = asked.user_token is not None and self.tokens.active(owner.key, asked.user_token)
        payload = self.payloads.create(owner, asked, pushed=pushed)
        self.on_change(payload)
        return payload

    def open(self, uuid: str, *, by_deeplink: bool = False) -> Payload:
        """The user has it on screen. Raises `UnknownPayloadError`, `IllegalActionError`."""
        payload = self.payloads.open(uuid, by_deeplink=by_deeplink)
        self.statuses.tell(uuid, OPENED)
        return payload

    def sign(self, uuid: str, **how: Any) -> Payload:
        """The user signs, having opened it first if need be; messages, transaction and webhook go their ways.

        ``how`` holds fields of `Signing`, such as ``account`` and ``result``. Raises `UnknownPayloadError`,
        `IllegalActionError`, ``pydantic.ValidationError``.
        """
        payload = self._on_screen(uuid)
        payload.after("sign")
        faults = self._faults_of(payload)
        signing = Signing(**how).under(faults)
        signed = self._sign(payload, signing)
        signature = self._signature(payload, signed, signing, submitted=faults.ledger != "unsubmitted")
        self.statuses.tell(uuid, PRE_SIGNED)
        if signature.dispatch is not None:
            self.statuses.tell(uuid, DISPATCHED)
        resolved = self.payloads.sign(uuid, signature)
        self.tokens.follow(signature.user_token, uuid)
        if signature.dispatch is not None and faults.ledger != "lost":
            self._submit(signature, signed, signing)
        self._webhooks.send(resolved)
        return resolved

    def reject(self, uuid: str) -> Payload:
        """The user declines, having opened it first if need be.

        Raises `UnknownPayloadError`, `IllegalActionError`.
        """
        self._on_screen(uuid)
        rejected = self.payloads.reject(uuid)
        self._webhooks.send(rejected)
        return rejected

    def expire(self, uuid: str) -> Payload:
        """The time to open it is over. No webhook. Raises `UnknownPayloadError`, `IllegalActionError`."""
        return self.payloads.expire(uuid)

    def cancel(self, uuid: str) -> Cancellation:
        """The application withdraws it. No webhook. Raises `UnknownPayloadError`."""
        racing = self._faults_of(self.payloads.get(uuid)).cancel == "racing"
        return self.payloads.cancel(uuid, racing=racing)

    def launch(self, account: str, *, application: Application | None = None) -> str:
        """A user opens the xApp of ``application``, of the first one unless named; its one-time token."""
        return self.xapps.launch(application or next(iter(self.applications.values())), account)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.sender)
            runner = web.AppRunner(
                self._web(), access_log=None, handler_cancellation=True, shutdown_timeout=_CLOSE_WITHIN
            )
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.TCPSite(runner, self.settings.host, self.settings.port).start()
            self._port = runner.addresses[0][1]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def _web(self) -> web.Application:
        app = web.Application(middlewares=[check_names(*self._names())])
        app.add_routes(self._rest.routes())
        app.add_routes(qr_routes(self))
        app.add_routes(phone_routes(self, self._clock, self.statuses.serve))
        app.add_routes(ledger_routes(self.ledger, self.ledgers, self.faults))
        app.add_routes(control_routes(self))
        app.add_routes(provider_routes(self))
        app.on_shutdown.append(self.statuses.close)
        return app

    def _names(self) -> tuple[str, ...]:
        told = (self.settings.host, urlsplit(self.base_url).hostname or "")
        return tuple(name.lower() for name in (*self.settings.hosts, *told) if name)

    def _moved(self, payload: Payload) -> None:
        self.statuses.moved(payload)
        self.on_change(payload)

    def _faults_of(self, payload: Payload) -> Faults:
        return self.faults.of(payload.uuid, payload.application.key)

    def _on_screen(self, uuid: str) -> Payload:
        payload = self.payloads.get(uuid)
        return payload if payload.opened else self.open(uuid)

    def _sign(self, payload: Payload, how: Signing) -> Signed:
        ledger = self.ledgers[how.network or self.settings.network]
        place = Place(network=ledger.network, validated_index=ledger.validated_index)
        return self._wallets.sign(payload.request, how, place)

    def _signature(self, payload: Payload, signed: Signed, how: Signing, *, submitted: bool) -> Signature:
        user = signed.signer if payload.request.multisign else signed.account
        known_at = self._clock() + timedelta(seconds=how.dispatch_known_after)
        return Signature(
            account=signed.account,
            signer=signed.signer,
            public_key=signed.public_key,
            hex=signed.hex,
            txid=transaction_id(signed.hex) if signed.transaction else "",
            network=NETWORKS[how.network or self.settings.network],
            user_token=self.tokens.signed(payload.application.key, user),
            dispatch=Dispatch(result=how.result, known_at=known_at) if submitted and payload.request.submits else None,
        )

    def _submit(self, signature: Signature, signed: Signed, how: Signing) -> None:
        self.ledgers[signature.network.name].submit(
            signature.txid,
            signed.transaction,
            result=how.ledger_result or how.result,
            delivered=how.delivered,
        )
