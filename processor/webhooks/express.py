"""The express lane: a webhook that came whole, and as plainly as Xumm writes it, is answered without parser, request
object, task or router.

Whatever is out of the ordinary (another path, a body in pieces, a refusal, a full outbox) is left to aiohttp, from its
first byte on; but what waited for the store in vain is answered here, since it has no time to wait again. The lane
saves three quarters of what aiohttp costs for a webhook.

It stands on a few internals of aiohttp's `RequestHandler`, which the tests of the endpoint would show to have changed.
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
from processor.core.payload.entry import Recorded
from processor.observability.loggers import sampled_log
from processor.observability.redaction import frames_of
from processor.web.connections import BoundedConnection, Places, raw_answer, raw_problem
from processor.web.problem import Problem
from processor.webhooks.intake import RESULT_BODIES, Admitted, Intake, Result


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
        self._places = Places(intake.bodies.limits.connections)

    def __call__(self) -> RequestHandler:
        return ExpressConnection(self, lane=self._lane, places=self._places, loop=self._loop, **self._kwargs)


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

    def _checked(self, pieces: Sequence[bytes]) -> Sequence[tuple[WholeRequest | None, Admitted | Refusal | None]]:
        """What each piece is. After a defect nothing is known: on the ordinary way it harms nobody but who shows it."""
        try:
            requests = [read_first(data) for data in pieces]
            return list(zip(requests, self.intake.check(requests, self._since), strict=True))
        except Exception as error:  # noqa: BLE001  likewise
            _log_defect(error, requests=len(pieces))
            return [(None, None)] * len(pieces)


class ExpressConnection(BoundedConnection):
    """One connection. While a webhook of the lane is under way, what comes after it waits.

    The lane is open while aiohttp's parser stands between two requests, which is certain for as long as all that it
    was given were whole ones: a piece that looks like a webhook may be the rest of something else.
    """

    __slots__ = ("_admitted", "_closes", "_data", "_held", "_lane", "_open", "_refusal", "_under_way")

    def __init__(self, manager: web.Server, *, lane: Lane, **options: Any) -> None:
        super().__init__(manager, **options)
        self._lane = lane
        self._refusal: Refusal | None = None
        self._under_way = False
        self._admitted: Admitted | None = None
        self._data, self._closes = b"", False
        self._held: list[bytes] = []
        self._open = True

    @property
    def waits_for_client(self) -> bool:
        """Whether no webhook is on the lane either."""
        return not self._under_way and super().waits_for_client

    def take_refusal(self) -> Refusal | None:
        """Why the webhook that is handled now is not to be believed, if the lane has found that out."""
        refusal, self._refusal = self._refusal, None
        return refusal

    def data_received(self, data: bytes) -> None:
        """Take the lane if it is open, the connection is at rest, and ``data`` may be a whole webhook."""
        if not data:  # aiohttp asks its own parser whether it kept anything
            super().data_received(data)
        elif self._under_way:
            self._hold(data)
        elif self._open and data.startswith(START) and self._is_at_rest():
            self._under_way = self._request_in_progress = True
            self._lane.enter(self, data)
        else:
            self._parse_one_by_one(data)

    def go_on(self, data: bytes, request: WholeRequest | None, checked: Admitted | Refusal | None) -> None:
        """Have ``data`` recorded if it was admitted; whatever else it is, aiohttp takes it from its first byte on."""
        self._open = request is not None
        self._data = data
        if request is not None and request.rest:
            self._data = data[: -len(request.rest)]
            self._hold(request.rest)
        self._refusal = checked if isinstance(checked, Refusal) else None
        admitted = checked if isinstance(checked, Admitted) else None
        if request is None or admitted is None or not self._lane.intake.submit(admitted, self._end_of_lane):
            self._end_of_lane(None)
            return
        self._admitted, self._closes = admitted, request.closes
        self._keep_alive_from_now()

    def _parse_one_by_one(self, data: bytes) -> None:
        """Whole webhooks one after another: what cannot be read behind one does not spoil it."""
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
            self._write(_deferred(self._lane.intake.defer(admitted, outcome), close=self._closes))
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
        self._places.renew(self)
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
    sampled_log.error("request.express_failed", requests=requests, error=type(error).__name__, places=frames_of(error))


@lru_cache(maxsize=8)
def _response(result: Result, date: str, *, close: bool) -> bytes:
    headers = {hdrs.CONTENT_TYPE: "application/json", **_own_headers(date, close=close)}
    return raw_answer(HTTPStatus.OK, headers, RESULT_BODIES[result])


def _deferred(problem: Problem, *, close: bool) -> bytes:
    return raw_problem(problem, _own_headers(rfc822_formatted_time(), close=close))


def _own_headers(date: str, *, close: bool) -> dict[str, str]:
    return {hdrs.DATE: date, hdrs.CONNECTION: "close"} if close else {hdrs.DATE: date}
