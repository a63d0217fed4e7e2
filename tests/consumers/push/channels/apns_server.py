"""Apple's push service of our own: HTTP/2 over TLS, device tokens, and provider tokens that it verifies.

Answers: https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
from cryptography.hazmat.primitives.asymmetric import ec

from tests.consumers.push.channels.authority import Authority, key_file
from tests.consumers.push.channels.web_token import verified

KEY_ID = "ABC123DEFG"
TEAM_ID = "DEF123GHIJ"
TOPIC = "com.example.shop"
HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What APNs answers instead of taking a notification."""

    status: int
    reason: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    timestamp: int | None = None
    body: bytes | None = None
    silent: bool = False

    def content(self) -> bytes:
        said = {"reason": self.reason, "timestamp": self.timestamp}
        known = {name: value for name, value in said.items() if value is not None}
        return json.dumps(known).encode() if self.body is None else self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A notification that APNs took."""

    token: str
    headers: dict[str, str]
    body: dict[str, Any]


class ApnsServer:
    """Takes notifications for one topic from whoever holds the team's key."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.url = ""
        self.taken: list[Taken] = []
        self.refusals: dict[str, list[Refusal]] = {}
        self.provider_tokens: list[str] = []
        self.expired: set[str] = set()
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def tokens_served(self) -> list[str]:
        """Device tokens of the notifications taken, in order."""
        return [each.token for each in self.taken]

    def options(self, directory: Path) -> dict[str, Any]:
        """The settings of a consumer that pushes here."""
        return {
            "apns_key": key_file(directory / "AuthKey.p8", self.key),
            "apns_key_id": KEY_ID,
            "apns_team_id": TEAM_ID,
            "apns_topic": TOPIC,
            "apns_url": self.url,
        }

    def drop(self) -> None:
        """Break every connection, as a balancer does that restarts."""
        for writer in self._writers:
            writer.transport.abort()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        self._writers.add(writer)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        try:
            writer.write(connection.data_to_send())
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    self._hear(connection, event, requests)
                writer.write(connection.data_to_send())
        except OSError:
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    def _hear(
        self,
        connection: h2.connection.H2Connection,
        event: h2.events.Event,
        requests: dict[int, tuple[dict[str, str], bytearray]],
    ) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(stream), headers=headers):
                requests[stream] = ({str(name): str(value) for name, value in headers or ()}, bytearray())
            case h2.events.DataReceived(stream_id=int(stream), data=data):
                requests[stream][1].extend(data or b"")
                connection.acknowledge_received_data(event.flow_controlled_length or 0, stream)
            case h2.events.StreamEnded(stream_id=int(stream)):
                headers, body = requests.pop(stream)
                refusal = self._judge(headers, bytes(body))
                if not refusal.silent:
                    answer = {":status": str(refusal.status), **refusal.headers}
                    connection.send_headers(stream, list(answer.items()))
                    content = refusal.content() if refusal.status != 200 or refusal.body else b""
                    connection.send_data(stream, content, end_stream=True)

    def _judge(self, headers: dict[str, str], body: bytes) -> Refusal:
        """What is wrong with a request, in the order of Apple's documentation; status 200 if nothing is."""
        token = headers[":path"].rpartition("/")[2]
        refusal = self._judge_provider(headers.get("authorization", "")) or _judge_headers(headers)
        if refusal is not None:
            return refusal
        waiting = self.refusals.get(token)
        if waiting:
            return waiting.pop(0)
        if len(body) > 4096:
            return Refusal(status=413, reason="PayloadTooLarge")
        self.taken.append(Taken(token=token, headers=headers, body=json.loads(body)))
        return Refusal(status=200)

    def _judge_provider(self, authorization: str) -> Refusal | None:
        kind, _, token = authorization.partition(" ")
        if kind != "bearer":
            return Refusal(status=403, reason="MissingProviderToken")
        found = verified(token, self.key.public_key())
        if found is None:
            return Refusal(status=403, reason="InvalidProviderToken")
        header, claims = found
        if (header.get("kid"), claims.get("iss")) != (KEY_ID, TEAM_ID):
            return Refusal(status=403, reason="InvalidProviderToken")
        if token not in self.provider_tokens:
            self.provider_tokens.append(token)
        if token in self.expired or not -HOUR < claims["iat"] - time.time() < HOUR:
            return Refusal(status=403, reason="ExpiredProviderToken")
        return None


def _judge_headers(headers: dict[str, str]) -> Refusal | None:
    faults = {
        "BadPath": headers[":path"].rpartition("/")[0] != "/3/device",
        "MethodNotAllowed": headers[":method"] != "POST",
        "DeviceTokenNotForTopic": headers.get("apns-topic") != TOPIC,
        "BadCollapseId": len(headers.get("apns-collapse-id", "").encode()) > 64,
        "BadExpirationDate": not headers.get("apns-expiration", "0").isdigit(),
        "BadPriority": headers.get("apns-priority", "10") not in {"10", "5", "1"},
        "InvalidPushType": headers.get("apns-push-type") != "alert",
    }
    return next((Refusal(status=400, reason=reason) for reason, is_wrong in faults.items() if is_wrong), None)


@asynccontextmanager
async def apns_server(authority: Authority) -> AsyncIterator[ApnsServer]:
    """The server on a free port of localhost."""
    apns = ApnsServer()
    context = authority.server("localhost", protocols=("h2",))
    server = await asyncio.start_server(apns.talk, "127.0.0.1", 0, ssl=context)
    apns.url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    try:
        yield apns
    finally:
        server.close()
        apns.drop()
        await server.wait_closed()
