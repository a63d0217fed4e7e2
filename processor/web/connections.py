"""Connections of callers, within limits: their number, and the size of a request's head.

They depend on a few internals of aiohttp's `RequestHandler`; the tests of the endpoint fail if they change.
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import StreamReader, hdrs, web
from aiohttp.web_protocol import RequestHandler

from processor.observability.loggers import sampled_log
from processor.observability.redaction import frames_of
from processor.web.problem import COMMON_HEADERS, Problem, convert_error, problem_response

SERVER: Final = "xumm-webhook-processor"
MAX_HEAD: Final = 32 * 1024
"""Bytes of a request's head; each of its lines is bounded besides."""


class Places:
    """The places for connections. When all are taken, the connection that is idle for the longest time is closed."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._taken: dict[BoundedConnection, None] = {}

    def take(self, connection: "BoundedConnection") -> bool:
        """Take a place, perhaps that of an idle connection. False if there is none."""
        if len(self._taken) >= self._number and not self._make_room():
            return False
        self._taken[connection] = None
        return True

    def renew(self, connection: "BoundedConnection") -> None:
        """Note that the connection is idle from now on."""
        if connection in self._taken:
            del self._taken[connection]
            self._taken[connection] = None

    def leave(self, connection: "BoundedConnection") -> None:
        """Free the place of a closed connection."""
        self._taken.pop(connection, None)

    def _make_room(self) -> bool:
        oldest = next((each for each in self._taken if each.waits_for_client), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.give_way()
        return True


class BoundedConnection(RequestHandler):
    """One connection. Each answer has the headers of all answers, and repeats nothing of a malformed request."""

    __slots__ = ("_answered", "_head", "_payload", "_places")

    def __init__(self, manager: web.Server, *, places: Places, **options: Any) -> None:
        super().__init__(manager, **options)
        self._places = places
        self._payload: StreamReader | None = None
        self._head = self._answered = 0

    @property
    def waits_for_client(self) -> bool:
        """Whether no request is being handled; a head or a body may be incomplete."""
        asked = self._request_count - self._answered
        return not asked or (asked == 1 and self._is_within_body())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place."""
        super().connection_made(transport)
        if not self._places.take(self):
            self._end(_OVERLOADED)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Free the place."""
        self._places.leave(self)
        super().connection_lost(exc)

    def give_way(self) -> None:
        """Close the connection, with an answer if a request is under way."""
        self._end(_OVERLOADED if self._request_count > self._answered else b"")

    def data_received(self, data: bytes) -> None:
        """Let aiohttp parse ``data``, and refuse a head that is too long."""
        known, within_body = self._request_count, self._is_within_body()
        super().data_received(data)
        if self._request_count != known:
            self._head, self._payload = 0, self._messages[-1][1]
        elif not within_body:
            self._head += len(data)
        if self._head > MAX_HEAD and not self._force_close:
            sampled_log.warning("request.malformed", error="HeadTooLong")
            self._end(_MALFORMED)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  it quotes the request
    ) -> web.StreamResponse:
        """Refuse a malformed request without repeating any of it in the answer or in the log: it may be secret."""
        if status < HTTPStatus.INTERNAL_SERVER_ERROR and not request.writer.output_size:
            sampled_log.warning("request.malformed", error=type(exc).__name__)
            return problem_response(Problem("request_malformed"))
        sampled_log.error("request.failed", error=type(exc).__name__, places=[] if exc is None else frames_of(exc))
        if request.writer.output_size:
            raise ConnectionError("an answer has begun already")
        return problem_response(Problem("internal_error"))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Turn what aiohttp refuses by itself, such as an unknown ``Expect``, into a problem document."""
        answer = problem_response(convert_error(resp)) if isinstance(resp, web.HTTPError) else resp
        if not answer.prepared:
            answer.headers.update({hdrs.SERVER: SERVER, **COMMON_HEADERS})
        try:
            return await super().finish_response(request, answer, start_time)
        finally:
            self._answered += 1
            self._places.renew(self)

    def _is_within_body(self) -> bool:
        return self._payload is not None and not self._payload.is_eof()

    def _end(self, answer: bytes) -> None:
        """Close the connection, whatever is under way."""
        if self.transport is not None:
            self.transport.write(answer)
        self.force_close()


def raw_answer(status: HTTPStatus, headers: Mapping[str, str], body: bytes) -> bytes:
    """An answer as bytes, for where aiohttp makes none."""
    fields = {**headers, **COMMON_HEADERS, hdrs.CONTENT_LENGTH: str(len(body)), hdrs.SERVER: SERVER}
    lines = (f"{name}: {value}" for name, value in fields.items())
    return "\r\n".join([f"HTTP/1.1 {status.value} {status.phrase}", *lines, "", ""]).encode() + body


def raw_problem(problem: Problem, headers: Mapping[str, str]) -> bytes:
    """The answer for ``problem``, with additional ``headers``."""
    response = problem_response(problem)
    assert isinstance(response.body, bytes)  # noqa: S101  it is JSON
    return raw_answer(problem.status, {**response.headers, **headers}, response.body)


_LAST: Final[dict[str, str]] = {hdrs.CONNECTION: "close"}
_OVERLOADED: Final = raw_problem(Problem("overloaded"), _LAST)
_MALFORMED: Final = raw_problem(Problem("request_malformed"), _LAST)
