"""Firebase Cloud Messaging, HTTP v1.

Sources: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages,
https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode,
https://firebase.google.com/docs/cloud-messaging/manage-tokens (which codes are about a token) and
https://firebase.google.com/docs/cloud-messaging/scale-fcm (how to wait after 429 and 503).
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp

from consumers.push.channels.channel import (
    RETRYABLE,
    Unregistered,
    as_object,
    list_objects,
    parse_object,
    parse_wait,
    read_start,
)
from consumers.push.notification import Notification
from consumers.push.registry.devices import Device
from consumers.push.settings import PushSettings
from consumers.runtime.errors import ConsumerError, Fatal, Retry

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
DEFAULT_WAIT: Final = timedelta(seconds=60)
"""After 429 without Retry-After, as documented."""

TOKEN_FIELD: Final = "message.token"  # noqa: S105  the name of a field
DOUBTFUL: Final = frozenset({(400, "INVALID_ARGUMENT"), (403, "SENDER_ID_MISMATCH")})
"""FCM's answers to an invalid token and to one of another project. The first also stands for other faults."""


class GoogleTokens:
    """Access tokens of a Google service account.

    google-auth's blocking refresh runs in a thread, once for all callers that wait.
    """

    def __init__(self, key: Mapping[str, Any]) -> None:
        self._credentials = _service_account(key)
        self._refreshing = asyncio.Lock()

    async def current(self) -> str:
        """A token that is valid for some more minutes. Raises `Retry` if none is available now, `Fatal` if never."""
        async with self._refreshing:
            if self._credentials.token_state.name != "FRESH":
                await asyncio.to_thread(self._refresh)
            return str(self._credentials.token)

    def discard(self, token: str) -> None:
        """Forget the refused ``token``, unless a newer one has replaced it."""
        if self._credentials.token == token:
            self._credentials.token = None

    def _refresh(self) -> None:
        from google.auth.exceptions import GoogleAuthError, RefreshError
        from google.auth.transport.requests import Request

        try:
            self._credentials.refresh(Request())
        except GoogleAuthError as error:
            if isinstance(error, RefreshError) and not error.retryable:
                raise Fatal("Google refuses the service account") from error
            raise Retry("Google's token endpoint cannot be reached") from error


class FcmChannel:
    """Pushes through FCM. A refused access token is renewed and tried once more at once."""

    def __init__(
        self, session: aiohttp.ClientSession, tokens: GoogleTokens, *, url: str, project: str, timeout: timedelta
    ) -> None:
        self._session = session
        self._tokens = tokens
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())
        self._endpoint = f"{url.rstrip('/')}/v1/projects/{project}/messages:send"

    async def push(self, device: Device, notification: Notification) -> None:
        """Send ``notification`` to FCM; return or raise by its answer."""
        body = {"message": build_message(device, notification)}
        status, headers, answer = await self._send(body)
        if status == HTTPStatus.UNAUTHORIZED and _error_code(answer) != "THIRD_PARTY_AUTH_ERROR":
            status, headers, answer = await self._send(body)
        _check(status, headers, answer)

    async def _send(self, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], Any]:
        token = await self._tokens.current()
        try:
            async with self._session.post(
                self._endpoint,
                json=body,
                headers={"Authorization": f"Bearer {token}"},
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                answer = parse_object(await read_start(response.content.iter_any()))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Retry(f"FCM cannot be reached: {type(error).__name__}") from error
        if response.status == HTTPStatus.UNAUTHORIZED:
            self._tokens.discard(token)
        return response.status, response.headers, answer


@asynccontextmanager
async def open_fcm(settings: PushSettings) -> AsyncIterator[FcmChannel]:
    """Open the channel. Raises `ConsumerError` if ``settings`` lack something or name a bad key file."""
    if settings.fcm_credentials is None:
        raise ConsumerError("CONSUMERS_FCM_CREDENTIALS: name the service account key file that fcm needs")
    key = await asyncio.to_thread(_read_key, settings.fcm_credentials)
    project = settings.fcm_project or key.get("project_id")
    if not project:
        raise ConsumerError("CONSUMERS_FCM_PROJECT: the key file names no project")
    async with aiohttp.ClientSession() as session:
        yield FcmChannel(
            session, GoogleTokens(key), url=str(settings.fcm_url), project=project, timeout=settings.push_timeout
        )


def build_message(device: Device, notification: Notification) -> Mapping[str, Any]:
    """The FCM message. On every platform a repetition replaces the notification that is shown."""
    seconds = int(notification.lifetime.total_seconds())
    return {
        "token": device.token,
        "notification": {"title": notification.title, "body": notification.body},
        "data": dict(notification.data),
        "android": {
            "collapse_key": notification.id,
            "priority": "HIGH" if notification.urgency == "high" else "NORMAL",
            "ttl": f"{seconds}s",
            "notification": {"tag": notification.id},
        },
        "apns": {
            "headers": {
                "apns-collapse-id": notification.id,
                "apns-expiration": str(int(time.time()) + seconds),
                "apns-priority": "10" if notification.urgency == "high" else "5",
            }
        },
        "webpush": {
            "headers": {"TTL": str(seconds), "Urgency": notification.urgency},
            "notification": {"tag": notification.id},
        },
    }


def _check(status: int, headers: Mapping[str, str], answer: Any) -> None:
    """Return if FCM accepted the message; else raise the error that its documentation gives for the answer."""
    if status == HTTPStatus.OK:
        return
    code = _error_code(answer)
    reason = f"FCM answered {status}{f' {code}' if code else ''}"
    fields = _violations(answer)
    if code == "UNREGISTERED" or (status == HTTPStatus.BAD_REQUEST and fields == [TOKEN_FIELD]):
        raise Unregistered(reason)
    if (status, code) in DOUBTFUL and not fields:
        raise Unregistered(reason, certain=False)
    if status in RETRYABLE:
        after = parse_wait(headers) or (DEFAULT_WAIT if code == "QUOTA_EXCEEDED" else None)
        raise Retry(reason, after=after)
    if status == HTTPStatus.UNAUTHORIZED and code != "THIRD_PARTY_AUTH_ERROR":
        raise Retry(reason)
    raise Fatal(reason)


def _error_code(answer: Any) -> str | None:
    """FCM's own code, such as ``UNREGISTERED``; else the status of the Google API, such as ``NOT_FOUND``."""
    error = as_object(as_object(answer).get("error"))
    for detail in list_objects(error.get("details")):
        if isinstance(detail.get("errorCode"), str):
            return str(detail["errorCode"])
    status = error.get("status")
    return status if isinstance(status, str) else None


def _violations(answer: Any) -> list[object]:
    """The fields of the request that FCM names as invalid."""
    details = list_objects(as_object(as_object(answer).get("error")).get("details"))
    return [violation.get("field") for detail in details for violation in list_objects(detail.get("fieldViolations"))]


def _read_key(path: Path) -> Mapping[str, Any]:
    try:
        key = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConsumerError(f"CONSUMERS_FCM_CREDENTIALS: {path} cannot be read: {type(error).__name__}") from None
    if not isinstance(key, dict) or key.get("type") != "service_account":
        raise ConsumerError(f"CONSUMERS_FCM_CREDENTIALS: {path} is no service account key")
    return key


def _service_account(key: Mapping[str, Any]) -> Any:
    try:
        from google.oauth2 import service_account
    except ModuleNotFoundError as error:
        raise ConsumerError("FCM needs the extra fcm: install xumm-webhook-processor[fcm]") from error
    try:
        make: Any = service_account.Credentials.from_service_account_info
        return make(dict(key), scopes=[SCOPE])
    except (ValueError, KeyError) as error:
        raise ConsumerError("CONSUMERS_FCM_CREDENTIALS: the key file lacks a key") from error
