"""The sandbox put together: API, phone and ledger on one port of 127.0.0.1, webhooks going out.

>>> async with Sandbox([application]) as sandbox:
...     payload = sandbox.create({"txjson": {"TransactionType": "SignIn"}})
...     sandbox.sign(payload.uuid)
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from xrpl.core import binarycodec

from processor.sandbox.attempt import Attempt, Outgoing
from processor.sandbox.clock import Clock, NewId, Sleep, random_uuid, utc_now
from processor.sandbox.javascript import stringify
from processor.sandbox.ledger import REGULAR_KEY, Ledger, Pace, ledger_routes
from processor.sandbox.limits import Limits
from processor.sandbox.payload import (
    SIGN_IN,
    Application,
    Dispatch,
    Network,
    Payload,
    Signature,
    SignRequest,
)
from processor.sandbox.phone import ACCOUNT, Signing, phone_routes
from processor.sandbox.request import parse_request
from processor.sandbox.rest import PREFIX, RestApi
from processor.sandbox.sender import Sender, Timing
from processor.sandbox.state import Cancellation, Payloads
from processor.sandbox.tokens import UserTokens
from processor.sandbox.views import webhook_body

NETWORKS: Final = {
    "MAINNET": Network(),
    "TESTNET": Network(name="TESTNET", id=1, node="wss://s.altnet.rippletest.net:51233"),
    "DEVNET": Network(name="DEVNET", id=2, node="wss://s.devnet.rippletest.net:51233"),
    "XAHAU": Network(name="XAHAU", id=21337, node="wss://xahau.network"),
    "XAHAUTESTNET": Network(name="XAHAUTESTNET", id=21338, node="wss://xahau-test.net"),
}

SIGNED_SIGN_IN: Final = (
    "2280000000240000000268400000000000000C73210333C718C9CB716E0575454F4A343D46B284ED51151B9C7383524B82C1"
    "0B262095744730450221009A4D99017F8FD6881D888047E2F9F90C068C09EC9308BC8526116B539D6DD44102207FAA7E8756"
    "F67FE7EE1A88884F120A00A8EC37E7D3E5ED3E02FEA7B1D97AA05581146C0994D3FCB140CAB36BAE9465137448883FA487"
)
"""A blob without TransactionType, validly signed by `ACCOUNT`: what signing in with it leaves behind."""

_TRANSACTION_ID: Final = b"TXN\x00"
_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Where to listen, and how strict and how fast to be; the defaults are Xumm's own."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 for a free one."""
    limits: Limits = field(default_factory=Limits)
    ledger: Pace = field(default_factory=Pace)
    sender: Timing = field(default_factory=Timing)
    network: str = "MAINNET"
    """The network of the ledger, a key of `NETWORKS`."""


class Sandbox:
    """A running Xumm with its ledger. The drivers do what a user would, and set off the webhooks."""

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
        self.payloads = Payloads(clock=clock, new_id=new_id)
        self.tokens = UserTokens(clock=clock, new_id=new_id)
        self.ledger = Ledger(clock=clock, network=NETWORKS[self.settings.network], pace=self.settings.ledger)
        self.sender = Sender(clock=clock, sleep=sleep, timing=self.settings.sender, on_attempt=on_attempt)
        self._clock = clock
        self._rest = RestApi(self, self.applications, limits=self.settings.limits, clock=clock, new_id=new_id)
        self._stack = AsyncExitStack()
        self._port = 0

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:<port>``, in the place of ``https://xumm.app``."""
        return f"http://{self.settings.host}:{self._port}"

    @property
    def api_url(self) -> str:
        """Where the API for applications begins, without a slash at the end."""
        return self.base_url + PREFIX

    @property
    def ledger_url(self) -> str:
        """Where the ledger answers JSON-RPC."""
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
        return self.payloads.create(owner, asked, pushed=pushed)

    def open(self, uuid: str, *, by_deeplink: bool = False) -> Payload:
        """The user has it on screen. Raises `UnknownPayloadError`, `IllegalActionError`."""
        return self.payloads.open(uuid, by_deeplink=by_deeplink)

    def sign(self, uuid: str, **how: Any) -> Payload:
        """The user signs, having opened it first if need be; the webhook and the transaction go their ways.

        ``how`` holds fields of `Signing`, such as ``account`` and ``result``. Raises `UnknownPayloadError`,
        `IllegalActionError`, ``pydantic.ValidationError``.
        """
        signing = Signing(**how)
        payload = self._on_screen(uuid)
        payload.after("sign")
        signed = self.payloads.sign(uuid, self._signature(payload, signing))
        self._submit(signed, signing)
        self._send_webhook(signed)
        return signed

    def reject(self, uuid: str) -> Payload:
        """The user declines, having opened it first if need be.

        Raises `UnknownPayloadError`, `IllegalActionError`.
        """
        self._on_screen(uuid)
        rejected = self.payloads.reject(uuid)
        self._send_webhook(rejected)
        return rejected

    def expire(self, uuid: str) -> Payload:
        """The time to open it is over. No webhook. Raises `UnknownPayloadError`, `IllegalActionError`."""
        return self.payloads.expire(uuid)

    def cancel(self, uuid: str) -> Cancellation:
        """The application withdraws it. No webhook. Raises `UnknownPayloadError`."""
        return self.payloads.cancel(uuid)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.sender)
            runner = web.AppRunner(self._web(), access_log=None)
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
        app = web.Application()
        app.add_routes(self._rest.routes())
        app.add_routes(phone_routes(self, self._clock))
        app.add_routes(ledger_routes(self.ledger))
        return app

    def _on_screen(self, uuid: str) -> Payload:
        payload = self.payloads.get(uuid)
        return payload if payload.opened else self.payloads.open(uuid)

    def _signature(self, payload: Payload, how: Signing) -> Signature:
        request = payload.request
        blob = _signed_blob(request, how.account)
        known_at = self._clock() + timedelta(seconds=how.dispatch_known_after)
        return Signature(
            account=how.account,
            signer=how.account if blob == SIGNED_SIGN_IN else REGULAR_KEY,
            hex=blob,
            txid=transaction_id(blob),
            network=NETWORKS[how.network or self.settings.network],
            user_token=self.tokens.signed(payload.application.key, how.account),
            dispatch=Dispatch(result=how.result, known_at=known_at) if request.submits else None,
        )

    def _submit(self, payload: Payload, how: Signing) -> None:
        """Hand the transaction to the ledger, unless it is another network's or not meant for any."""
        signature = payload.signature
        if signature is None or signature.dispatch is None or signature.network != self.ledger.network:
            return
        self.ledger.submit(
            signature.txid,
            payload.request.txjson,
            account=signature.account,
            result=how.ledger_result or how.result,
            delivered=how.delivered,
        )

    def _send_webhook(self, payload: Payload) -> None:
        application = payload.application
        if application.webhook_url is None:
            return
        self.sender.send(
            Outgoing(
                url=application.webhook_url,
                secret=application.secret,
                payload=payload.uuid,
                body=stringify(webhook_body(payload)).encode(),
            )
        )


def transaction_id(blob: str) -> str:
    """The hash by which the ledger knows a signed blob: the first half of SHA-512.

    Source: https://xrpl.org/docs/references/protocol/data-types/basic-data-types#hash-prefixes
    """
    return hashlib.sha512(_TRANSACTION_ID + bytes.fromhex(blob)).digest()[:32].hex().upper()


def _signed_blob(request: SignRequest, account: str) -> str:
    """The transaction, truly signed: by the usual account if it signs in, else by `_KEY`, everybody's regular key."""
    if request.tx_type == SIGN_IN and account == ACCOUNT:
        return SIGNED_SIGN_IN
    public = f"ED{_KEY.public_key().public_bytes_raw().hex()}".upper()
    asked = binarycodec.decode(request.txblob) if request.txblob else dict(request.txjson)
    kind = {} if request.tx_type == SIGN_IN else {"TransactionType": asked["TransactionType"]}
    filled = {"Flags": 0, "Fee": "12", **asked, "Account": account, "Sequence": secrets.randbelow(2**31)}
    transaction = {name: value for name, value in filled.items() if name != "TransactionType"} | kind
    if request.multisign:
        transaction["SigningPubKey"] = ""
        message = binarycodec.encode_for_multisigning(transaction, account)
        signer = {"Account": account, "SigningPubKey": public, "TxnSignature": _sign(message)}
        return binarycodec.encode(transaction | {"Signers": [{"Signer": signer}]})
    transaction["SigningPubKey"] = public
    return binarycodec.encode(transaction | {"TxnSignature": _sign(binarycodec.encode_for_signing(transaction))})


def _sign(message: str) -> str:
    return _KEY.sign(bytes.fromhex(message)).hex().upper()
