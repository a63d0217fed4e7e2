"""Xumm's API as one application calls it.

The credentials travel in two headers and nowhere else. Every call first waits for the application's budget, and every
answer corrects the budget. A lookup is made once; its task repeats it. A request, for which a caller waits, is repeated
here as `processor.core.retry.decide_request` decides. Both end within their time limit.

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
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError
from yarl import URL

from processor.core.access.limits import Rank
from processor.core.application import Application
from processor.core.errors import Denied, LookupFailed, Unavailable
from processor.core.reports.parsing import parse_leniently
from processor.core.retry import decide_request
from processor.web.client import Answer, Connections
from processor.xumm.answers import find_error
from processor.xumm.budget import Budget, BudgetQueueFull, CreationBudget, Priority
from schemas.payload import Payload
from schemas.platform import Cancelled, Created, Pong, TokenStates
from schemas.text import is_uuid
from schemas.validation import problems_in

BASE_URL: Final = URL("https://xumm.app/api/v1/platform/")
TIMEOUT: Final = timedelta(seconds=10)
"""Of one call."""
PATIENCE: Final = timedelta(seconds=20)
"""Of a request, including the wait for the budget and every repetition."""
LOOKUP_PATIENCE: Final = timedelta(minutes=1)
"""Of a lookup, including the wait for the budget. The lease of its task must be longer."""
MAX_IDENTIFIER: Final = 40
MAX_TOKENS: Final = 100
_PRIORITIES: Final[dict[Rank, Priority]] = {
    "service": Priority.REQUEST,
    "user": Priority.USER,
    "stranger": Priority.STRANGER,
}
_MAX_DIGITS: Final = 9
_BUSY: Final = timedelta(seconds=30)
Result = TypeVar("Result", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The API key and secret of an application, as Xumm's developer console shows them."""

    key: str
    """Public: the application's uuid."""
    secret: str = field(repr=False)


class XummApi:
    """An async context manager that owns the connections of one application to the API.

    Every method raises `Unavailable`, `NotFound` or `Denied`, with Xumm's own error reference where there is one. Each
    answer corrects the budget before it is evaluated.
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
        self._creations = CreationBudget(budget)
        self._base_url = base_url
        self._patience = patience
        self._clock = clock
        self._priority = Priority.REQUEST

    async def __aenter__(self) -> Self:
        await self._connections.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._connections.__aexit__(*exception)

    def calling_for(self, rank: Rank) -> Self:
        """The same API and budget, with the priority of callers of this rank."""
        other = copy(self)
        other._priority = _PRIORITIES[rank]  # noqa: SLF001  of the same class
        return other

    async def payload(self, uuid: str, priority: Priority = Priority.URGENT) -> bytes:
        """The answer to ``GET payload/<uuid>``: a JSON object, raw, for
        `processor.core.reports.snapshot.snapshot_report`.
        """
        call = _Call("GET", ("payload", _uuid(uuid, "the payload to fetch")), priority=priority)
        async with _within(LOOKUP_PATIENCE):
            return (await self._once(call)).body

    async def fetch_by_identifier(self, identifier: str) -> Payload:
        """The payload with this custom identifier."""
        if not 0 < len(identifier) <= MAX_IDENTIFIER or identifier in {".", ".."}:
            raise Denied(f"an identifier has 1 to {MAX_IDENTIFIER} characters")
        return await self._request(_Call("GET", ("payload", "ci", identifier)), Payload)

    async def ping(self) -> Pong:
        """The application that the credentials belong to. An answer proves that they are right."""
        return await self._request(_Call("GET", ("ping",)), Pong)

    async def create(self, body: Mapping[str, Any]) -> Created:
        """Create a payload. ``body`` is in Xumm's form: ``txjson`` or ``txblob``, ``options``, ``custom_meta``.

        After `Unavailable` without ``untouched`` the payload may exist: `fetch_by_identifier` tells.
        """
        return await self._request(_Call("POST", ("payload",), content=body, creates=True), Created)

    async def cancel(self, uuid: str) -> Cancelled:
        """Cancel a payload. That the user opened it, so that it stays, is an answer and no error."""
        return await self._request(_Call("DELETE", ("payload", _uuid(uuid, "the payload to cancel"))), Cancelled)

    async def token_states(self, tokens: Sequence[str]) -> TokenStates:
        """The state of each user token."""
        if not 0 < len(tokens) <= MAX_TOKENS:
            raise Denied(f"between 1 and {MAX_TOKENS} user tokens can be checked at once")
        checked = [_uuid(token, "a user token to check") for token in tokens]
        return await self._request(_Call("POST", ("user-tokens",), content={"tokens": checked}), TokenStates)

    async def _request(self, call: "_Call", model: type[Result]) -> Result:
        """Call until the answer is a success or an error that no repetition mends."""
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
        """The call's URL. An identifier may hold any character, slashes included."""
        return self._base_url.joinpath(*(quote(part, safe="") for part in call.path), encoded=True)

    def _budget_for(self, call: "_Call") -> Budget | CreationBudget:
        return self._creations if call.creates else self._budget

    async def _once(self, call: "_Call") -> Answer:
        """Call once. The answer is a success whose body is a JSON object."""
        budget = self._budget_for(call)
        try:
            await budget.acquire(self._priority if call.priority is None else call.priority)
        except BudgetQueueFull as full:
            raise Unavailable(str(full), retry_after=_BUSY, untouched=True) from full
        answer = await self._connections.ask(call.method, self._address(call), content=call.content)
        now = self._clock()
        _correct(budget, answer, now)
        error = find_error(answer, now)
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
    """The payloads of all applications, each fetched with the credentials of its application. Stateless."""

    def __init__(self, apis: Mapping[str, XummApi]) -> None:
        """``apis`` by the application's name."""
        self._apis = apis

    async def payload(self, application: Application, uuid: str, *, urgent: bool) -> bytes:
        """The raw answer to ``GET payload/<uuid>``; with ``urgent``, before routine lookups. Raises `LookupFailed`."""
        api = self._apis.get(application.name)
        if api is None:
            raise Denied(f"no credentials are configured for the application {application.name}")
        return await api.payload(uuid, Priority.URGENT if urgent else Priority.ROUTINE)


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


def _read(model: type[Result], answer: Answer) -> Result:
    try:
        return parse_leniently(model.model_validate_json, answer.body)
    except ValidationError as error:
        places = ", ".join(sorted({place for place, _ in problems_in(error)}))
    raise Unavailable(f"Xumm's API answered {answer.status} that does not validate at {places[:200]}")


def _correct(budget: Budget | CreationBudget, answer: Answer, now: datetime) -> None:
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        budget.refuse(answer.retry_after(now))
    limit, remaining = (_count(answer.headers, f"X-RateLimit-{name}") for name in ("Limit", "Remaining"))
    budget.correct(limit=limit, remaining=remaining)


def _count(headers: Mapping[str, str], name: str) -> int | None:
    """The header as a whole number; None if it is absent or malformed."""
    text = headers.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None
