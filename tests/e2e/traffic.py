"""Webhooks on their way to a service, one by one or without end."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from tests.support.webhooks import body_of, headers_of, new_payload

TYPES = ("xumm.sign.signed", "xumm.sign.token_issued")
"""What `telling_body` makes known, in this order."""
_WORKERS = 16
_ANSWER_SECONDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the service said."""

    status: int
    text: str
    headers: str


def telling_body(payload: str) -> bytes:
    """A webhook that is worth two events: somebody signed, and got a user token with it."""
    now = int(time.time())
    token = {"user_token": new_payload(), "token_issued": now, "token_expiration": now + 86_400}
    return body_of(payload, userToken=token)


class Sender:
    """Sends what it is given, signed unless ``headers`` are given too. None stands for an answer that never came."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    async def send(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> Answer | None:
        """One webhook."""
        try:
            async with self._session.post(url, data=body, headers=headers or headers_of(body)) as response:
                answer = Answer(status=response.status, text=await response.text(), headers=str(response.headers))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        self.answers.append(answer)
        return answer

    async def send_all(self, url: str, bodies: list[bytes]) -> list[int | None]:
        """All at once; the status of each answer."""
        answers = await asyncio.gather(*(self.send(url, body) for body in bodies))
        return [answer.status if answer else None for answer in answers]

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS), connector=aiohttp.TCPConnector(limit=0)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()


class Load:
    """New payloads without end while it is open. A sender that gets no answer stops, as the service is gone."""

    def __init__(self, *urls: str) -> None:
        self._urls = urls
        self._sender = Sender()
        self._workers: list[asyncio.Task[None]] = []
        self._progress = asyncio.Condition()
        self.bodies: dict[str, bytes] = {}
        """By payload, all that was sent."""
        self.acknowledged: set[str] = set()
        """The payloads whose webhook was answered 200."""
        self.statuses: Counter[int] = Counter()

    @property
    def unacknowledged(self) -> list[bytes]:
        """The bodies that Xumm would have to send again."""
        return [body for payload, body in self.bodies.items() if payload not in self.acknowledged]

    async def reaches(self, count: int, *, seconds: float = 40) -> None:
        """Return once ``count`` webhooks were acknowledged."""
        async with asyncio.timeout(seconds), self._progress:
            await self._progress.wait_for(lambda: len(self.acknowledged) >= count)

    async def grows(self, count: int) -> None:
        """Return once ``count`` more were acknowledged."""
        await self.reaches(len(self.acknowledged) + count)

    async def ends(self) -> None:
        """Return once nobody answers any more."""
        await asyncio.gather(*self._workers)

    async def __aenter__(self) -> Self:
        await self._sender.__aenter__()
        self._workers = [asyncio.create_task(self._work(self._urls[at % len(self._urls)])) for at in range(_WORKERS)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.wait(self._workers)
        await self._sender.__aexit__(kind, error, trace)

    async def _work(self, url: str) -> None:
        while True:
            payload = new_payload()
            body = self.bodies[payload] = telling_body(payload)
            answer = await self._sender.send(url, body)
            if answer is None:
                return
            self.statuses[answer.status] += 1
            if answer.status == 200:
                async with self._progress:
                    self.acknowledged.add(payload)
                    self._progress.notify_all()
