"""The express lane: a webhook that came whole, and as plainly as Xumm writes it, is answered without parser, request
object, task or router.

Whatever is out of the ordinary (another path, a body in pieces, a refusal, a full outbox) is left to aiohttp, from its
first byte on; but what waited for the store in vain is answered here, since it has no time to wait again. The lane
saves three quarters of what aiohttp costs for a webhook.

It stands on a few internals of aiohttp's `RequestHandler`, which the tests of the endpoint would show to have changed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final

import structlog
from aiohttp import hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web_protocol import RequestHandler

from processor.core.errors import StoreError
from processor.core.whole_request import START, WholeRequest, read_whole
from processor.intake import RESULT_BODIES, Admitted, Intake, Result
from processor.problem import Problem, problem_of, problem_response
from processor.redaction import frames_of
from processor.store.entry import Recorded

SERVER: Final = "xumm-webhook-processor"

log = structlog.get_logger()


class ExpressRunner(web.AppRunner):
    """Runs an aiohttp application whose connections have the lane."""

    def __init__(self, app: web.Application, *, intake: Intake, **options: Any) -> None:
        super().__init__(app, **options)
        self._intake = intake

    async def _make_server(self) -> web.Server:
        ordinary = await super()._make_server()
        return _ExpressServer(ordinary, self._intake)


class _ExpressServer(web.Server):
    def __init__(self, ordinary: web.Server, intake: Intake) -> None:
        super().__init__(
            ordinary.request_handler,
            request_factory=ordinary.request_factory,
            loop=ordinary._loop,  # noqa: SLF001  handed on to the server of the same class
            **ordinary._kwargs,  # noqa: SLF001  likewise
        )
        self._lane = Lane(intake)

    def __call__(self) -> RequestHandler:
        return ExpressConnection(self, lane=self._lane, loop=self._loop, **self._kwargs)


class Lane:
    """Where webhooks of all connections pass: those that come in one turn of the event loop, together."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self._arrived: list[tuple[ExpressConnection, bytes]] = []
        self._since = 0.0

    def enter(self, connection: "ExpressConnection", data: bytes) -> None:
        """Take what came on a connection that is at rest; `ExpressConnection.go_on` tells what it is."""
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._pass)
            self._since = perf_counter()
        self._arrived.append((connection, data))

    def _pass(self) -> None:
        arrived, self._arrived = self._arrived, []
        checked = self._checked([data for _, data in arrived])
        for (connection, data), (request, admitted) in zip(arrived, checked, strict=True):
            try:
                connection.go_on(data, request, admitted)
            except Exception as error:  # noqa: BLE001  what it is about may be secret, so its message is not told
                _log_defect(error, requests=1)
                connection.force_close()

    def _checked(self, pieces: Sequence[bytes]) -> Sequence[tuple[WholeRequest | None, Admitted | None]]:
        """What each piece is. After a defect nothing is known: on the ordinary way it harms nobody but who shows it."""
        try:
            requests = [read_whole(data) for data in pieces]
            return list(zip(requests, self.intake.check(requests, self._since), strict=True))
        except Exception as error:  # noqa: BLE001  likewise
            _log_defect(error, requests=len(pieces))
            return [(None, None)] * len(pieces)


class ExpressConnection(RequestHandler):
    """One connection. While a webhook of the lane is under way, what comes after it waits.

    The lane is open while aiohttp's parser stands between two requests, which is certain for as long as all that it
    was given were whole ones: a piece that looks like a webhook may be the rest of something else.
    """

    __slots__ = ("_admitted", "_closes", "_data", "_held", "_lane", "_open", "_under_way")

    def __init__(self, manager: web.Server, *, lane: Lane, **options: Any) -> None:
        super().__init__(manager, **options)
        self._lane = lane
        self._under_way = False
        self._admitted: Admitted | None = None
        self._data, self._closes = b"", False
        self._held: list[bytes] = []
        self._open = True

    def data_received(self, data: bytes) -> None:
        """Take the lane if it is open, the connection is at rest, and ``data`` may be a whole webhook."""
        if not data:  # aiohttp asks its own parser whether it kept anything
            super().data_received(data)
        elif self._under_way:
            self._held.append(data)
            self.transport.pause_reading()  # type: ignore[union-attr]  # there is one while data comes
        elif self._open and data.startswith(START) and self._is_at_rest():
            self._under_way = self._request_in_progress = True
            self._lane.enter(self, data)
        else:
            self._open = self._open and data.startswith(START) and read_whole(data) is not None
            super().data_received(data)

    def go_on(self, data: bytes, request: WholeRequest | None, admitted: Admitted | None) -> None:
        """Have ``data`` recorded if it was admitted; whatever else it is, aiohttp takes it from its first byte on."""
        self._open = request is not None
        self._data = data
        if request is None or admitted is None or not self._lane.intake.submit(admitted, self._end_of_lane):
            self._end_of_lane(None)
            return
        self._admitted, self._closes = admitted, request.closes
        self._keep_alive_from_now()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What cannot be read is refused without repeating any of it, in the answer or in the log: it may be secret."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or request.writer.output_size > 0:
            super().handle_error(request, status, exc, message)  # logs, and raises if an answer has begun
            return problem_response(Problem("internal_error"))
        log.warning("request.malformed", error=type(exc).__name__)
        return problem_response(Problem("request_malformed"))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """What aiohttp refuses by itself, such as an unknown ``Expect``, is a problem as all else is."""
        told = problem_response(problem_of(resp)) if isinstance(resp, web.HTTPError) else resp
        return await super().finish_response(request, told, start_time)

    def _is_at_rest(self) -> bool:
        """Whether nothing is under way. A new connection is, though its task may not have begun to wait yet."""
        waiter = self._waiter
        waits = self._request_count == 0 if waiter is None else not waiter.done()
        return waits and not self._messages and not self._close

    def _process_keepalive(self) -> None:
        """A webhook under way is no idle connection, whatever aiohttp's own task waits for."""
        if self._under_way:
            self._keep_alive_from_now()
        super()._process_keepalive()

    def _end_of_lane(self, outcome: Recorded | StoreError | None) -> None:
        admitted, self._admitted = self._admitted, None
        data, self._data = self._data, b""
        self._under_way = self._request_in_progress = False
        if admitted is None or outcome is None:
            self._take_the_ordinary_way(data)
        elif isinstance(outcome, StoreError):
            self._write(_written(problem_response(self._lane.intake.defer(admitted, outcome)), close=self._closes))
        elif self.transport is not None:  # otherwise the sender left; its webhook is stored all the same
            result = self._lane.intake.conclude(admitted, outcome)
            self._write(_response(result, rfc822_formatted_time(), close=self._closes))
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if self._held and self.transport is not None:
            self._release()

    def _take_the_ordinary_way(self, data: bytes) -> None:
        if self.transport is not None and self._parser is not None:
            super().data_received(data)

    def _write(self, response: bytes) -> None:
        if self.transport is None:
            return
        self.transport.write(response)
        self._keep_alive_from_now()
        if self._closes:
            self.force_close()

    def _release(self) -> None:
        """Go on with what came meanwhile."""
        held, self._held = b"".join(self._held), []
        self.transport.resume_reading()  # type: ignore[union-attr]  # asked above
        self.data_received(held)

    def _keep_alive_from_now(self) -> None:
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout


def _log_defect(error: Exception, *, requests: int) -> None:
    log.error("request.lane_failed", requests=requests, error=type(error).__name__, places=frames_of(error))


@lru_cache(maxsize=8)
def _response(result: Result, date: str, *, close: bool) -> bytes:
    return _message("200 OK", {hdrs.CONTENT_TYPE: "application/json"}, RESULT_BODIES[result], date, close=close)


def _written(response: web.Response, *, close: bool) -> bytes:
    """The bytes of a response that was made for aiohttp."""
    status = f"{response.status} {response.reason}"
    body = response.body if isinstance(response.body, bytes) else b""
    return _message(status, response.headers, body, rfc822_formatted_time(), close=close)


def _message(status: str, headers: Mapping[str, str], body: bytes, date: str, *, close: bool) -> bytes:
    own: dict[str, str] = {hdrs.CONTENT_LENGTH: str(len(body)), hdrs.DATE: date, hdrs.SERVER: SERVER}
    if close:
        own[hdrs.CONNECTION] = "close"
    head = "".join(f"{name}: {value}\r\n" for name, value in (*headers.items(), *own.items()))
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body
