"""The express lane: a webhook that arrived whole, and in the plain form that Xumm sends, is answered without aiohttp's
parser, request object, task and router. That saves three quarters of what aiohttp costs for a webhook.

Any other request (another path, a body in pieces, a refusal, a full outbox) is passed to aiohttp from its first byte
on. A webhook that waited for the store in vain is answered here, since it has no time to wait again.

The lane depends on a few internals of aiohttp's `RequestHandler`; the tests of the endpoint fail if they change.
"""

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from time import perf_counter
from typing import Any

from aiohttp import hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.web_protocol import RequestHandler

from processor.core.delivery.authentication import Refusal
from processor.core.delivery.plain_request import START, WholeRequest, read_first
from processor.core.errors import StoreError
from processor.core.payload.entry import Recorded, Reported
from processor.observability.loggers import sampled_log
from processor.observability.redaction import frames_of
from processor.web.connections import BoundedConnection, Places, raw_answer, raw_problem
from processor.web.problem import Problem
from processor.webhooks.intake import RESULT_BODIES, Intake, Result, defer, result_of


class ExpressRunner(web.AppRunner):
    """Runs an aiohttp application whose connections have the express lane."""

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
        self._lane = ExpressLane(intake)
        self._places = Places(intake.bodies.limits.connections)

    def __call__(self) -> RequestHandler:
        return ExpressConnection(self, lane=self._lane, places=self._places, loop=self._loop, **self._kwargs)


class ExpressLane:
    """Takes the webhooks of all connections: those of one turn of the event loop together."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self._arrived: list[tuple[ExpressConnection, bytes]] = []
        self._since = 0.0

    def enter(self, connection: "ExpressConnection", data: bytes) -> None:
        """Take what arrived on an idle connection; `ExpressConnection.go_on` is called with what it is."""
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._pass)
            self._since = perf_counter()
        self._arrived.append((connection, data))

    def _pass(self) -> None:
        arrived, self._arrived = self._arrived, []
        checked = self._check([data for _, data in arrived])
        for (connection, data), (request, admitted) in zip(arrived, checked, strict=True):
            try:
                connection.go_on(data, request, admitted)
            except Exception as error:  # noqa: BLE001  its message may quote a secret, so it is not logged
                _log_defect(error, requests=1)
                connection.force_close()

    def _check(self, pieces: Sequence[bytes]) -> Sequence[tuple[WholeRequest | None, Reported | Refusal | None]]:
        """What each piece is. After a defect nothing is known, and aiohttp takes each piece by itself."""
        try:
            requests = [read_first(data) for data in pieces]
            return list(zip(requests, self.intake.check(requests, self._since), strict=True))
        except Exception as error:  # noqa: BLE001  likewise
            _log_defect(error, requests=len(pieces))
            return [(None, None)] * len(pieces)


class ExpressConnection(BoundedConnection):
    """One connection. While a webhook is on the lane, the data after it waits.

    The lane is open while aiohttp's parser stands between two requests. That is certain as long as the parser was given
    whole requests only: data that looks like a webhook may be the rest of another request.
    """

    __slots__ = ("_admitted", "_closes", "_data", "_held", "_lane", "_open", "_refusal", "_under_way")

    def __init__(self, manager: web.Server, *, lane: ExpressLane, **options: Any) -> None:
        super().__init__(manager, **options)
        self._lane = lane
        self._refusal: Refusal | None = None
        self._under_way = False
        self._admitted: Reported | None = None
        self._data, self._closes = b"", False
        self._held: list[bytes] = []
        self._open = True

    @property
    def waits_for_client(self) -> bool:
        """Whether nothing is under way, on the lane or in aiohttp."""
        return not self._under_way and super().waits_for_client

    def take_refusal(self) -> Refusal | None:
        """The refusal of the webhook that aiohttp handles now, if the lane found one."""
        refusal, self._refusal = self._refusal, None
        return refusal

    def data_received(self, data: bytes) -> None:
        """Enter the lane if it is open, the connection is idle, and ``data`` may be a whole webhook."""
        if not data:  # aiohttp asks its own parser whether it kept anything
            super().data_received(data)
        elif self._under_way:
            self._hold(data)
        elif self._open and data.startswith(START) and self._is_idle():
            self._under_way = self._request_in_progress = True
            self._lane.enter(self, data)
        else:
            self._parse_one_by_one(data)

    def go_on(self, data: bytes, request: WholeRequest | None, checked: Reported | Refusal | None) -> None:
        """Submit the entry if ``data`` is a webhook to record; pass ``data`` to aiohttp otherwise."""
        self._open = request is not None
        self._data = data
        if request is not None and request.rest:
            self._data = data[: -len(request.rest)]
            self._hold(request.rest)
        self._refusal = checked if isinstance(checked, Refusal) else None
        admitted = checked if isinstance(checked, Reported) else None
        if request is None or admitted is None or not self._lane.intake.submit(admitted, self._leave_lane):
            self._leave_lane(None)
            return
        self._admitted, self._closes = admitted, request.closes
        self._keep_alive_from_now()

    def _parse_one_by_one(self, data: bytes) -> None:
        """Pass whole webhooks one by one, so that malformed data after one does not spoil it."""
        while self._open and data.startswith(START):
            first = read_first(data)
            if first is None or not first.rest:
                self._open = first is not None
                break
            super().data_received(data[: -len(first.rest)])
            data = first.rest
        else:
            self._open = False
        super().data_received(data)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self.transport.pause_reading()  # type: ignore[union-attr]  # there is one while data comes

    def _is_idle(self) -> bool:
        """Whether nothing is under way. True for a new connection too, whose task may not have begun to wait."""
        waiter = self._waiter
        waits = self._request_count == 0 if waiter is None else not waiter.done()
        return waits and not self._messages and not self._close

    def _process_keepalive(self) -> None:
        """Keep the connection while a webhook is on the lane, whatever aiohttp's own task waits for."""
        if self._under_way:
            self._keep_alive_from_now()
        super()._process_keepalive()

    def _leave_lane(self, outcome: Recorded | StoreError | None) -> None:
        admitted, self._admitted = self._admitted, None
        data, self._data = self._data, b""
        self._under_way = self._request_in_progress = False
        if admitted is None or outcome is None:
            self._pass_to_aiohttp(data)
        elif isinstance(outcome, StoreError):
            self._write(_raw_problem(defer(admitted.report.app, outcome), close=self._closes))
        elif (
            self.transport is not None
        ):  # otherwise the sender closed the connection; its webhook is stored all the same
            self._write(_response(result_of(outcome), rfc822_formatted_time(), close=self._closes))
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if self._held and self.transport is not None:
            self._release()

    def _pass_to_aiohttp(self, data: bytes) -> None:
        if self.transport is not None and self._parser is not None:
            super().data_received(data)

    def _write(self, response: bytes) -> None:
        if self.transport is None:
            return
        self.transport.write(response)
        self._keep_alive_from_now()
        self._places.renew(self)
        if self._closes:
            self.force_close()

    def _release(self) -> None:
        """Go on with the data that arrived meanwhile."""
        held, self._held = b"".join(self._held), []
        self.transport.resume_reading()  # type: ignore[union-attr]  # asked above
        self.data_received(held)

    def _keep_alive_from_now(self) -> None:
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout


def _log_defect(error: Exception, *, requests: int) -> None:
    sampled_log.error("request.express_failed", requests=requests, error=type(error).__name__, places=frames_of(error))


@lru_cache(maxsize=8)
def _response(result: Result, date: str, *, close: bool) -> bytes:
    headers = {hdrs.CONTENT_TYPE: "application/json", **_own_headers(date, close=close)}
    return raw_answer(HTTPStatus.OK, headers, RESULT_BODIES[result])


def _raw_problem(problem: Problem, *, close: bool) -> bytes:
    return raw_problem(problem, _own_headers(rfc822_formatted_time(), close=close))


def _own_headers(date: str, *, close: bool) -> dict[str, str]:
    return {hdrs.DATE: date, hdrs.CONNECTION: "close"} if close else {hdrs.DATE: date}
