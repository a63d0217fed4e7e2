"""HTTP calls to other services: bounded in time and size, never redirected, and silent about what they carry.

aiohttp's errors hold the request's headers and address, which may be secret. So errors are raised outside of the
``except`` block, and none of aiohttp's is chained to them.
"""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final, NoReturn, Protocol, Self

import aiohttp
from yarl import URL

from processor import __version__
from processor.core.errors import Unavailable
from processor.core.retry import parse_retry_after

USER_AGENT: Final = f"xumm-webhook-processor/{__version__}"
MAX_BODY: Final = 1024 * 1024
"""Largest answer, in bytes."""

_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}
_CONNECTIONS: Final = 32
"""Connections to one host."""
_JSON_TYPES: Final = ("", "text/plain", "application/octet-stream")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer."""

    host: str
    """The host that answered."""
    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Looked up case-insensitively."""
    body: bytes = field(repr=False)

    @property
    def redirects(self) -> bool:
        """Whether the answer is a redirect."""
        return HTTPStatus.MULTIPLE_CHOICES <= self.status < HTTPStatus.BAD_REQUEST

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object with exact numbers (`decimal.Decimal` for fractions); None if it is none."""
        content_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if "json" not in content_type and content_type not in _JSON_TYPES:
            return None
        try:
            value = json.loads(self.body, parse_float=Decimal, parse_constant=_refuse)
        except (ValueError, ArithmeticError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def retry_after(self, now: datetime) -> timedelta | None:
        """The delay in ``Retry-After``; see `processor.core.retry.parse_retry_after`."""
        return parse_retry_after(self.headers.get("Retry-After", ""), now)


class HttpClient(Protocol):
    """Makes calls to other servers, as `Connections` does."""

    async def ask(
        self, method: str, url: URL, *, content: object = None, form: Mapping[str, str] | None = None
    ) -> Answer:
        """Call once; ``content`` goes as JSON, ``form`` as a form. Any whole answer is one, whatever its status.

        Raises `Unavailable`, which names the host and the problem.
        """


class Connections(HttpClient):
    """An async context manager that owns connections, kept for reuse.

    Certificates are verified; there are no cookies, and no proxy is taken from the environment.
    """

    def __init__(
        self, *, timeout: timedelta, headers: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """``timeout`` is for a whole call; ``tls`` can trust other authorities than the system's."""
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())
        self._headers = {**_HEADERS, **(headers or {})}
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=_CONNECTIONS, ssl=self._tls or True),
            timeout=self._timeout,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ask(
        self, method: str, url: URL, *, content: object = None, form: Mapping[str, str] | None = None
    ) -> Answer:
        """See `HttpClient`."""
        if self._session is None:
            raise RuntimeError("connections are used outside of their async with block")
        untouched = False
        try:
            async with self._session.request(method, url, json=content, data=form, allow_redirects=False) as response:
                body = await _read(response)
                if body is not None:
                    return Answer(host=url.host or "", status=response.status, headers=response.headers, body=body)
                problem = f"sent an encoded body or one of more than {MAX_BODY} bytes"
        except TimeoutError:
            problem = "did not answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            problem = f"could not be asked ({type(error).__name__})"
            untouched = isinstance(error, aiohttp.ClientConnectorError)
        raise Unavailable(f"{url.host} {problem}", untouched=untouched)


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            response.close()
            return None
    return bytes(body)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
