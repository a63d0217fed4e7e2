"""Xumm's API as one application calls it.

The credentials travel in two headers and nowhere else. Every call waits for the application's budget first, and every
answer corrects it. A lookup is made once: its task tries again. A request, for which somebody waits, is repeated here
as `processor.core.retry.decide_request` says, and both end within their time.

Source: https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload
"""

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import count
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError
from yarl import URL

from processor.core.access.limits import Rank
from processor.core.application import Application
from processor.core.errors import Denied, LookupFailed, Unavailable
from processor.core.reports.salvage import read
from processor.core.retry import decide_request
from processor.web.client import Answer, Connections
from processor.xumm.answers import refusal
from processor.xumm.budget import Budget, Creations, LineFull, Priority
from schemas.payload import Payload
from schemas.platform import Cancelled, Created, Pong, TokenStates
from schemas.text import is_uuid
from schemas.validation import problems_in

BASE_URL: Final = URL("https://xumm.app/api/v1/platform/")
TIMEOUT: Final = timedelta(seconds=10)
"""For one call."""
PATIENCE: Final = timedelta(seconds=20)
"""For a request, with its wait for the budget and all its repetitions."""
LOOKUP_PATIENCE: Final = timedelta(minutes=1)
"""For a lookup, with its wait for the budget: the lease of its task must outlast it."""
MAX_IDENTIFIER: Final = 40
MAX_TOKENS: Final = 100
_PRIORITIES: Final[dict[Rank, Priority]] = {
    "service": Priority.REQUEST,
    "user": Priority.USER,
    "stranger": Priority.STRANGER,
}
_MAX_DIGITS: Final = 9
_BUSY: Final = timedelta(seconds=30)
Said = TypeVar("Said", bound=BaseModel)


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

    def __init__(  # noqa: PLR0913  two arguments, and what tests turn
        self,
        credentials: Credentials,
        budget: Budget,
        *,
        base_url: URL = BASE_URL,
        timeout: timedelta = TIMEOUT,
        patience: timedelta = PATIENCE,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        headers = {"x-api-key": credentials.key, "x-api-secret": credentials.secret}
        self._connections = Connections(timeout=timeout, headers=headers, tls=tls)
        self._budget = budget
        self._creations = Creations(budget)
        self._base_url = base_url
        self._patience = patience
        self._clock = clock
        self._priority = Priority.REQUEST

    async def __aenter__(self) -> Self:
        await self._connections.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.__aexit__(kind, error, trace)

    def calling_for(self, rank: Rank) -> Self:
        """The same API and budget, for requests that somebody of this rank asks for."""
        other = copy(self)
        other._priority = _PRIORITIES[rank]  # noqa: SLF001  of the same class
        return other

    async def payload(self, uuid: str, priority: Priority = Priority.MONEY) -> bytes:
        """The payload as Xumm knows it: a JSON object, raw, for `processor.core.reports.normalize.snapshot_report`."""
        call = _Call("GET", ("payload", _uuid(uuid, "the payload to fetch")), priority=priority)
        async with _within(LOOKUP_PATIENCE):
            return (await self._once(call)).body

    async def payload_named(self, identifier: str) -> Payload:
        """The payload with the application's own identifier."""
        if not 0 < len(identifier) <= MAX_IDENTIFIER or identifier in {".", ".."}:
            raise Denied(f"an identifier has 1 to {MAX_IDENTIFIER} characters")
        return await self._request(_Call("GET", ("payload", "ci", identifier)), Payload)

    async def ping(self) -> Pong:
        """Whose credentials these are. That Xumm answers at all proves that they are right."""
        return await self._request(_Call("GET", ("ping",)), Pong)

    async def create(self, body: Mapping[str, Any]) -> Created:
        """A new payload of ``body``, which is Xumm's: ``txjson`` or ``txblob``, ``options``, ``custom_meta``.

        After `Unavailable` without ``untouched`` nobody knows whether it stands: `payload_named` tells.
        """
        return await self._request(_Call("POST", ("payload",), content=body, creates=True), Created)

    async def cancel(self, uuid: str) -> Cancelled:
        """Withdraw a payload. That it is not cancelled, since somebody opened it, is an answer and no error."""
        return await self._request(_Call("DELETE", ("payload", _uuid(uuid, "the payload to cancel"))), Cancelled)

    async def token_states(self, tokens: Sequence[str]) -> TokenStates:
        """Which user tokens are active."""
        if not 0 < len(tokens) <= MAX_TOKENS:
            raise Denied(f"between 1 and {MAX_TOKENS} user tokens can be checked at once")
        checked = [_uuid(token, "a user token to check") for token in tokens]
        return await self._request(_Call("POST", ("user-tokens",), content={"tokens": checked}), TokenStates)

    async def _request(self, call: "_Call", model: type[Said]) -> Said:
        """Call until there is an answer, or no use in it."""
        until = time.monotonic() + self._patience.total_seconds()
        async with _within(self._patience):
            for attempt in count(1):
                try:
                    return _read(model, await self._once(call))
                except LookupFailed as error:
                    left = timedelta(seconds=until - time.monotonic() - self._budget_for(call).wait)
                    chance = random.random()  # noqa: S311  jitter
                    again = decide_request(error, method=call.method, attempt=attempt, left=left, chance=chance)
                    if again.delay is None:
                        raise
                await asyncio.sleep(again.delay.total_seconds())
        raise AssertionError  # `count` does not end

    def _address(self, call: "_Call") -> URL:
        """An identifier may hold anything, slashes too."""
        return self._base_url.joinpath(*(quote(part, safe="") for part in call.path), encoded=True)

    def _budget_for(self, call: "_Call") -> Budget | Creations:
        return self._creations if call.creates else self._budget

    async def _once(self, call: "_Call") -> Answer:
        """A success, whose body is a JSON object."""
        budget = self._budget_for(call)
        try:
            await budget.acquire(self._priority if call.priority is None else call.priority)
        except LineFull as full:
            raise Unavailable(str(full), retry_after=_BUSY, untouched=True) from full
        answer = await self._connections.ask(call.method, self._address(call), content=call.content)
        now = self._clock()
        _tell(budget, answer, now)
        error = refusal(answer, now)
        if error is not None:
            raise error
        return answer


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: tuple[str, ...] = field(repr=False)
    content: object = field(default=None, repr=False)
    priority: Priority | None = None
    creates: bool = False


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


@asynccontextmanager
async def _within(patience: timedelta) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(patience.total_seconds()):
            yield
    except TimeoutError:
        overdue = True
    else:
        overdue = False
    if overdue:
        raise Unavailable(f"Xumm's API gave no answer within {patience.total_seconds():g} s")


def _uuid(text: str, what: str) -> str:
    if not is_uuid(text):
        raise Denied(f"{what} is not named by a UUID")
    return text


def _read(model: type[Said], answer: Answer) -> Said:
    try:
        return read(model.model_validate_json, answer.body)
    except ValidationError as error:
        places = ", ".join(sorted({place for place, _ in problems_in(error)}))
    raise Unavailable(f"Xumm's API answered {answer.status} without what makes sense at {places[:200]}")


def _tell(budget: Budget | Creations, answer: Answer, now: datetime) -> None:
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        budget.refuse(answer.retry_after(now))
    limit, remaining = (_count(answer.headers, f"X-RateLimit-{name}") for name in ("Limit", "Remaining"))
    budget.correct(limit=limit, remaining=remaining)


def _count(headers: Mapping[str, str], name: str) -> int | None:
    """A whole number, None if the header is not there or is none."""
    text = headers.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None
