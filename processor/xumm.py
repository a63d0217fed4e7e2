"""Xumm's API as one application calls it.

The credentials travel in two headers and nowhere else. Every call waits for the application's budget first, and every
answer corrects it. Nothing is retried here: whoever calls decides that, by the error.

Source: https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload
"""

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

from yarl import URL

from processor.budget import Budget, LineFull, Priority
from processor.core.application import Application
from processor.core.errors import Denied, LookupFailed, NotFound, Unavailable
from processor.outbound import Answer, Connections

BASE_URL: Final = URL("https://xumm.app/api/v1/platform/")
TIMEOUT: Final = timedelta(seconds=10)
BAD_CREDENTIALS: Final = 813
"""Xumm's error code; which status comes with it is documented nowhere."""

_DENIED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MAX_DIGITS: Final = 9
_BUSY: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What Xumm's developer console gave the application, as it stands there."""

    key: str
    """Public; the application's uuid."""
    secret: str = field(repr=False)


class XummApi:
    """An async context manager that owns the connections of one application to the API.

    Every method raises `Unavailable`, `NotFound` or `Denied`, with Xumm's own error reference where there is one. The
    budget is told of each answer before anything is made of it.
    """

    def __init__(
        self,
        credentials: Credentials,
        budget: Budget,
        *,
        base_url: URL = BASE_URL,
        timeout: timedelta = TIMEOUT,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        headers = {"x-api-key": credentials.key, "x-api-secret": credentials.secret}
        self._connections = Connections(timeout=timeout, headers=headers, tls=tls)
        self._budget = budget
        self._base_url = base_url
        self._clock = clock

    async def __aenter__(self) -> Self:
        await self._connections.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.__aexit__(kind, error, trace)

    async def payload(self, uuid: str, priority: Priority = Priority.MONEY) -> bytes:
        """The payload as Xumm knows it: a JSON object, raw, for `processor.core.normalize.snapshot_report`."""
        if not _UUID.fullmatch(uuid):
            raise Denied("the payload to fetch is not named by a UUID")
        return await self._call("GET", "payload", uuid, priority=priority)

    async def ping(self, priority: Priority = Priority.REQUEST) -> bytes:
        """What Xumm says of the application, raw. That it answers at all proves that the credentials are right."""
        return await self._call("GET", "ping", priority=priority)

    async def _call(self, method: str, *path: str, priority: Priority) -> bytes:
        """The body of a success, which is a JSON object."""
        try:
            await self._budget.acquire(priority)
        except LineFull as full:
            raise Unavailable(str(full), retry_after=_BUSY) from full
        answer = await self._connections.ask(method, self._base_url.joinpath(*path))
        now = self._clock()
        self._tell_budget(answer, now)
        error = refusal(answer, now)
        if error is not None:
            raise error
        return answer.body

    def _tell_budget(self, answer: Answer, now: datetime) -> None:
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._budget.refuse(answer.retry_after(now))
        limit, remaining = (_count(answer.headers, f"X-RateLimit-{name}") for name in ("Limit", "Remaining"))
        self._budget.correct(limit=limit, remaining=remaining)


class Payloads:
    """The payloads of all applications, each asked for with its own credentials. Stateless."""

    def __init__(self, apis: Mapping[str, XummApi]) -> None:
        """``apis`` by the application's name."""
        self._apis = apis

    async def payload(self, application: Application, uuid: str, *, money: bool) -> bytes:
        """The raw answer to ``GET payload/<uuid>``; with ``money``, before those without. Raises `LookupFailed`."""
        api = self._apis.get(application.name)
        if api is None:
            raise Denied(f"no credentials are configured for the application {application.name}")
        return await api.payload(uuid, Priority.MONEY if money else Priority.POLL)


def refusal(answer: Answer, now: datetime) -> LookupFailed | None:  # noqa: PLR0911  one return for each kind
    """What is wrong with ``answer``; None if nothing is and its body is a JSON object."""
    status, value = answer.status, answer.json_object()
    code, reference = _error_of(value)
    said = f"Xumm's API answered {status}{reference}"
    if answer.redirects:
        return Denied(f"{said}, a redirect, which is not followed: check the address of the API")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Unavailable(said, retry_after=answer.retry_after(now))
    if status in _DENIED or code == BAD_CREDENTIALS:
        return Denied(said)
    if HTTPStatus.NOT_FOUND in (status, code):
        return NotFound(said)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return Unavailable(said, retry_after=answer.retry_after(now))
    if status >= HTTPStatus.BAD_REQUEST:
        return Denied(said)
    if value is None or "error" in value:
        return Unavailable(f"{said} without a JSON object that makes sense")
    return None


def _error_of(value: Mapping[str, Any] | None) -> tuple[int | None, str]:
    """Code and a text for messages of ``{"error": {"reference": "<uuid>", "code": <int>}}``."""
    error = None if value is None else value.get("error")
    if not isinstance(error, dict):
        return None, ""
    code, reference = error.get("code"), error.get("reference")
    if not isinstance(code, int) or isinstance(code, bool) or len(str(abs(code))) > _MAX_DIGITS:
        return None, ""
    named = isinstance(reference, str) and _UUID.fullmatch(reference)
    return code, f", code {code}" + (f", reference {reference}" if named else "")


def _count(headers: Mapping[str, str], name: str) -> int | None:
    """A whole number, None if the header is not there or is none."""
    text = headers.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None
