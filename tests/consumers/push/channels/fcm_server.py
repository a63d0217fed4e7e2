"""Firebase Cloud Messaging of our own: its token endpoint and its HTTP v1 API, with a service account to match.

Answers: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode; those to tokens that are none, as recorded in
https://github.com/firebase/firebase-admin-java/issues/1064 and
https://github.com/firebase/firebase-admin-python/issues/187 (with violations, and without).
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

PROJECT = "shop-1"
EMAIL = f"pusher@{PROJECT}.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCE = "https://oauth2.googleapis.com/token"  # what google-auth claims, wherever the endpoint is
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What FCM answers instead of taking a message."""

    status: int
    api_status: str
    error_code: str | None = None
    bad_field: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None
    silent: bool = False
    in_pieces: bool = False
    """As it comes over a slow network."""

    def body(self) -> dict[str, Any]:
        details: list[dict[str, Any]] = []
        if self.error_code:
            details.append({"@type": FCM_ERROR, "errorCode": self.error_code})
        if self.bad_field:
            violation = {"field": self.bad_field, "description": "Invalid value"}
            details.append({"@type": BAD_REQUEST, "fieldViolations": [violation]})
        error = {"code": self.status, "message": "refused", "status": self.api_status, "details": details}
        return {"error": error}


class FcmServer:
    """Takes messages of those who hold a token that it issued against a genuine assertion."""

    def __init__(self) -> None:
        self._private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.url = ""
        self.accepted: list[dict[str, Any]] = []
        self.refusals: dict[str, list[Refusal]] = {}
        self.issued: list[str] = []
        self.revoked: set[str] = set()
        self.token_lifetime = 3600
        self.token_failures: list[int] = []
        self.stopping = asyncio.Event()

    @property
    def tokens_served(self) -> list[str]:
        """Registration tokens of the messages taken, in order."""
        return [message["token"] for message in self.accepted]

    def key_file(self, directory: Path) -> Path:
        """A service account key as Google issues it, with this server's token endpoint."""
        private = self._private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = directory / "key.json"
        key = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "1",
            "private_key": private.decode(),
            "client_email": EMAIL,
            "token_uri": f"{self.url}/token",
        }
        path.write_text(json.dumps(key))
        return path

    async def token(self, request: web.Request) -> web.Response:
        form = parse_qs((await request.read()).decode())
        if self.token_failures:
            status = self.token_failures.pop(0)
            error = "internal_failure" if status >= 500 else "invalid_grant"
            return web.json_response({"error": error}, status=status)
        claims = self._verified(form["assertion"][0])
        if form["grant_type"] != [GRANT] or claims["iss"] != EMAIL or SCOPE not in claims["scope"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        issued = f"ya29.{len(self.issued)}"
        self.issued.append(issued)
        return web.json_response({"access_token": issued, "expires_in": self.token_lifetime, "token_type": "Bearer"})

    async def send(self, request: web.Request) -> web.StreamResponse:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or token not in self.issued or token in self.revoked:
            return _answer(Refusal(status=401, api_status="UNAUTHENTICATED"))
        message = (await request.json())["message"]
        waiting = self.refusals.get(message["token"])
        if waiting:
            refusal = waiting.pop(0)
            if refusal.silent:
                await self.stopping.wait()
            return await _in_pieces(request, refusal) if refusal.in_pieces else _answer(refusal)
        self.accepted.append(message)
        return web.json_response({"name": f"projects/{PROJECT}/messages/{time.time_ns()}"})

    def _verified(self, assertion: str) -> dict[str, Any]:
        public = self._private_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        claims: dict[str, Any] = jwt.decode(assertion, certs=public, audience=AUDIENCE)
        return claims


def _answer(refusal: Refusal) -> web.Response:
    if refusal.text is not None:
        return web.Response(status=refusal.status, text=refusal.text, headers=refusal.headers)
    return web.json_response(refusal.body(), status=refusal.status, headers=refusal.headers)


async def _in_pieces(request: web.Request, refusal: Refusal) -> web.StreamResponse:
    response = web.StreamResponse(status=refusal.status, headers={"Content-Type": "application/json"})
    await response.prepare(request)
    whole = json.dumps(refusal.body()).encode()
    for piece in (whole[:20], whole[20:]):
        await response.write(piece)
        await asyncio.sleep(0.05)
    return response


@asynccontextmanager
async def fcm_server() -> AsyncIterator[FcmServer]:
    """The server on a free port of 127.0.0.1."""
    server = FcmServer()
    app = web.Application()
    app.router.add_post("/token", server.token)
    app.router.add_post(f"/v1/projects/{PROJECT}/messages:send", server.send)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        server.stopping.set()
        await runner.cleanup()
