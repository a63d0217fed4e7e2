"""Xumm and its ledgers in memory: the actions of applications and users on payloads, and their effects.

`processor.sandbox.server.Sandbox` adds HTTP.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from processor.sandbox.access import ApiAccess, RateLimits
from processor.sandbox.clock import Clock, NewId, Sleep, random_uuid, utc_now
from processor.sandbox.faults import Faults, FaultTable
from processor.sandbox.identity import Identity
from processor.sandbox.ledger import Ledger, ValidationPace
from processor.sandbox.network import NETWORKS
from processor.sandbox.oauth2 import Provider
from processor.sandbox.payload import Application, Dispatch, Payload, PayloadSignature, SignRequest
from processor.sandbox.payload_table import Cancellation, PayloadTable
from processor.sandbox.request import parse_request
from processor.sandbox.sender import Sender, SenderTiming, Webhooks
from processor.sandbox.signing import SignedBlob, SigningOptions, Wallets
from processor.sandbox.status import DISPATCHED, KEEPALIVE, OPENED, PRE_SIGNED, StatusSocketServer
from processor.sandbox.user_tokens import UserTokenTable
from processor.sandbox.wallet import transaction_id
from processor.sandbox.webhook_attempt import Attempt
from processor.sandbox.xapps import XApps


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Where the sandbox listens, its limits and its speed; the defaults are those of Xumm."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 for a free one."""
    limits: RateLimits = field(default_factory=RateLimits)
    ledger: ValidationPace = field(default_factory=ValidationPace)
    sender: SenderTiming = field(default_factory=SenderTiming)
    keepalive: timedelta = KEEPALIVE
    """The interval at which a status socket sends the seconds until the payload expires."""
    network: str = "MAINNET"
    """The network of wallets and of the ledger on ``/ledger``, a key of `NETWORKS`."""
    issuer: str | None = None
    """The issuer of tokens, if not the sandbox's URL: Xumm has ``oauth2.xumm.app`` and ``oauth2.xaman.app``."""
    hosts: tuple[str, ...] = ()
    """Host names that are answered besides those of this machine and the one of ``public_url``."""
    public_url: str | None = None
    """The URL for clients, if not that of the port, such as ``https://…`` of a proxy; no slash at the end."""


class Simulation:
    """The state of Xumm and its ledgers. Its methods do what users and applications do.

    ``faults`` can be changed at any time. ``on_change`` is called with each payload that is created or changes its
    situation.
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
        self.port = self.settings.port
        self.clock, self.new_id = clock, new_id
        self.applications = {application.key: application for application in applications}
        self.faults = FaultTable()
        self.on_change: Callable[[Payload], None] = lambda _payload: None
        self.payloads = PayloadTable(clock=clock, new_id=new_id, on_change=self._announce)
        self.statuses = StatusSocketServer(self.payloads, self.faults, clock=clock, keepalive=self.settings.keepalive)
        self.tokens = UserTokenTable(clock=clock, new_id=new_id)
        self.identity = Identity(self.tokens, clock=clock, new_id=new_id)
        network = NETWORKS[self.settings.network]
        self.provider = Provider(
            self.applications, self.identity, network=network, faults=self.faults, clock=clock, new_id=new_id
        )
        self.access = ApiAccess(limits=self.settings.limits, faults=self.faults, clock=clock, new_id=new_id)
        self.xapps = XApps(self.identity, network=network, clock=clock, new_id=new_id)
        self.ledgers = {
            name: Ledger(clock=clock, network=each, pace=self.settings.ledger) for name, each in NETWORKS.items()
        }
        self.ledger = self.ledgers[self.settings.network]
        self.sender = Sender(clock=clock, sleep=sleep, timing=self.settings.sender, on_attempt=on_attempt)
        self._webhooks = Webhooks(self.sender, self.faults)
        self._wallets = Wallets()

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:<port>`` unless set, in the place of ``https://xumm.app``."""
        return self.settings.public_url or f"http://{self.settings.host}:{self.port}"

    @property
    def issuer(self) -> str:
        """The issuer that tokens name."""
        return self.settings.issuer or self.base_url

    def create(
        self,
        request: SignRequest | Mapping[str, Any],
        *,
        application: Application | None = None,
    ) -> Payload:
        """Create a payload of ``application``, or of the first application.

        A mapping is parsed as the body of ``POST payload``. Raises ``pydantic.ValidationError``, `OversizedError`,
        `DuplicateIdentifierError`.
        """
        owner = application or next(iter(self.applications.values()))
        parsed = request if isinstance(request, SignRequest) else parse_request(request)
        pushed = parsed.user_token is not None and self.tokens.is_active(owner.key, parsed.user_token)
        payload = self.payloads.create(owner, parsed, pushed=pushed)
        self.on_change(payload)
        return payload

    def open(self, uuid: str, *, by_deeplink: bool = False) -> Payload:
        """Let the user open the payload in the wallet. Raises `UnknownPayloadError`, `IllegalActionError`."""
        payload = self.payloads.open(uuid, by_deeplink=by_deeplink)
        self.statuses.send(uuid, OPENED)
        return payload

    def sign(self, uuid: str, **options: Any) -> Payload:
        """Let the user sign the payload, which is opened first if need be.

        Sends the status messages, the transaction and the webhook. ``options`` are fields of `SigningOptions`, such
        as ``account`` and ``result``. Raises `UnknownPayloadError`, `IllegalActionError`,
        ``pydantic.ValidationError``.
        """
        payload = self._ensure_open(uuid)
        payload.after("sign")
        faults = self._find_faults(payload)
        how = SigningOptions(**options).apply(faults)
        ledger = self.ledgers[how.network or self.settings.network]
        signed = self._wallets.sign(payload.request, how, ledger)
        submitted = payload.request.submits and faults.ledger != "unsubmitted"
        signature = self._build_signature(payload, signed, ledger, self._build_dispatch(how) if submitted else None)
        self.statuses.send(uuid, PRE_SIGNED)
        if submitted:
            self.statuses.send(uuid, DISPATCHED)
        resolved = self.payloads.sign(uuid, signature)
        self.tokens.set_latest(signature.user_token, uuid)
        if submitted and faults.ledger != "lost":
            result = how.ledger_result or how.result
            ledger.submit(signature.txid, signed.transaction, result=result, delivered=how.delivered)
        self._webhooks.send(resolved)
        return resolved

    def reject(self, uuid: str) -> Payload:
        """Let the user decline the payload, which is opened first if need be; sends the webhook.

        Raises `UnknownPayloadError`, `IllegalActionError`.
        """
        self._ensure_open(uuid)
        rejected = self.payloads.reject(uuid)
        self._webhooks.send(rejected)
        return rejected

    def expire(self, uuid: str) -> Payload:
        """Let the payload expire now, without a webhook. Raises `UnknownPayloadError`, `IllegalActionError`."""
        return self.payloads.expire(uuid)

    def cancel(self, uuid: str) -> Cancellation:
        """Cancel the payload for its application, without a webhook. Raises `UnknownPayloadError`."""
        racing = self._find_faults(self.payloads.get(uuid)).cancel == "racing"
        return self.payloads.cancel(uuid, racing=racing)

    def launch(self, account: str, *, application: Application | None = None) -> str:
        """Open the xApp of ``application``, or of the first application, for a user; returns its one-time token."""
        return self.xapps.launch(application or next(iter(self.applications.values())), account)

    def _announce(self, payload: Payload) -> None:
        self.statuses.announce(payload)
        self.on_change(payload)

    def _find_faults(self, payload: Payload) -> Faults:
        return self.faults.find(payload.uuid, payload.application.key)

    def _ensure_open(self, uuid: str) -> Payload:
        payload = self.payloads.get(uuid)
        return payload if payload.opened else self.open(uuid)

    def _build_signature(
        self, payload: Payload, signed: SignedBlob, ledger: Ledger, dispatch: Dispatch | None
    ) -> PayloadSignature:
        user = signed.signer if payload.request.multisign else signed.account
        return PayloadSignature(
            account=signed.account,
            signer=signed.signer,
            public_key=signed.public_key,
            hex=signed.hex,
            txid=transaction_id(signed.hex) if signed.transaction else "",
            network=ledger.network,
            user_token=self.tokens.renew(payload.application.key, user),
            dispatch=dispatch,
        )

    def _build_dispatch(self, how: SigningOptions) -> Dispatch:
        return Dispatch(result=how.result, known_at=self.clock() + timedelta(seconds=how.dispatch_known_after))
