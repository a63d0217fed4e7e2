"""Canaries: values that nobody may see, sent through everything that could show them."""

import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web

from processor.core.delivery.signature import HEADER_SIGNATURE, HEADER_TIMESTAMP, key_of
from processor.sandbox.signing import ACCOUNT
from processor.sandbox.webhook_attempt import Answered
from schemas.topology import DEFAULT_QUEUES
from tests.consumers.broker import until
from tests.e2e.program import python, run
from tests.e2e.service import ConsumerProcess, ServiceProcess, Stage
from tests.e2e.stand import PAYMENT, SIGN_IN, Stand
from tests.e2e.tap import Event
from tests.e2e.traffic import Sender
from tests.support.webhooks import body_of, headers_of, new_payload

pytestmark = pytest.mark.rabbitmq

SECRET = "cafe5ec7-e7ca-4a47-8b1d-c0ffeec0ffee"
USER_TOKEN = "70ce47e4-ca4a-4a49-8f1f-feedfeedfeed"
DEVICE_TOKEN = "device-token-canary-xyzzy-plugh-000042"
BEARER = "bearer-canary-xyzzy-4711"
BODY_TEXT = "body-canary-xyzzy-0815"
CANARIES = {
    "API secret": SECRET,
    "API secret without dashes": SECRET.replace("-", ""),
    "HMAC key": key_of(SECRET).decode(),
    "user token": USER_TOKEN,
    "user token without dashes": USER_TOKEN.replace("-", ""),
    "device token": DEVICE_TOKEN,
    "Authorization": BEARER,
    "Basic Authorization": b64encode(f"user:{SECRET}".encode()).decode(),
    "body of a refused webhook": BODY_TEXT,
}
COMMANDS = (
    ("config",),
    ("config", "--json"),
    ("deliveries", "--limit", "100"),
    ("deliveries", "--limit", "100", "--json"),
    ("quarantine", "list"),
    ("quarantine", "list", "--json"),
    ("topology", "verify"),
)


class FailingApi:
    """Stands before the sandbox's API; of payloads it does not know, it tells all that the caller said, as an error."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.url = ""
        self.broken: set[str] = set()

    async def answer(self, request: web.Request) -> web.Response:
        """One request."""
        if request.path.rpartition("/")[2] in self.broken:
            echo = json.dumps(dict(request.headers) | {"authorization": f"Bearer {BEARER}", "token": USER_TOKEN})
            return web.Response(status=500, text=echo, reason=f"{SECRET} failed")
        async with (
            aiohttp.ClientSession(self._target, headers=_credentials(request)) as session,
            session.request(request.method, request.path, data=await request.read()) as response,
        ):
            return web.Response(status=response.status, body=await response.read(), content_type="application/json")


def _credentials(request: web.Request) -> dict[str, str]:
    return {name: request.headers[name] for name in ("x-api-key", "x-api-secret") if name in request.headers}


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    stand = Stand(secret=SECRET)
    async with stand.sandbox:
        yield stand


@pytest.fixture
async def api(stand: Stand) -> AsyncIterator[FailingApi]:
    api = FailingApi(stand.sandbox.base_url)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield api
    await runner.cleanup()


def authentic(body: bytes, **more: str) -> tuple[str, bytes, dict[str, str]]:
    return "", body, headers_of(body, secret=SECRET) | more


def mischief() -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """What is appended to the webhook's URL, the body and the headers of webhooks that are refused or quarantined."""
    body = body_of(new_payload(), custom_meta={"instruction": BODY_TEXT}, userToken={"user_token": USER_TOKEN})
    credentials = {"Authorization": f"Bearer {BEARER}", "x-api-secret": SECRET}
    yield "", body, headers_of(body, secret=new_payload()) | credentials
    yield "", body, {HEADER_TIMESTAMP: str(int(time.time())), HEADER_SIGNATURE: SECRET}
    yield "", body, {HEADER_TIMESTAMP: SECRET, HEADER_SIGNATURE: BEARER}
    yield "", body, credentials
    yield "", body, headers_of(body, secret=SECRET, at=1_000_000_000)
    yield f"?token={USER_TOKEN}&secret={SECRET}", body, credentials
    yield f"-{SECRET}", body, headers_of(body, secret=SECRET)
    yield f"/{SECRET}", body, headers_of(body, secret=SECRET)
    yield "", body + b" " * 70_000, headers_of(body, secret=SECRET)
    yield "", body, headers_of(body, secret=SECRET) | {"Content-Encoding": BEARER}
    yield authentic(body.replace(b'"signed":true', f'"signed":"{BODY_TEXT}"'.encode()))
    yield authentic(body.replace(b'"signed":true', f'"signed":"{SECRET}"'.encode()), Authorization=BEARER)
    yield authentic(body[: -len('"}}')])
    yield authentic(f'{{"{BODY_TEXT}": "{SECRET}"'.encode())
    yield authentic(json.dumps([BODY_TEXT, USER_TOKEN]).encode())


@pytest.fixture
async def service(stage: Stage, stand: Stand, api: FailingApi) -> ServiceProcess:
    """A service at debug level, on the default queues."""
    await stage.apply_topology({name: list(bindings) for name, bindings in DEFAULT_QUEUES.items()})
    service = stage.service(**stand.settings(xumm_url=api.url, log_level="debug"))
    await service.start()
    return service


@pytest.fixture
async def consumers(stage: Stage, service: ServiceProcess) -> list[ConsumerProcess]:
    """Both consumers at debug level, with a phone to push to."""
    push, app_state = stage.consumer("push"), stage.consumer("app-state")
    await push.register(ACCOUNT, DEVICE_TOKEN)
    for consumer in (push, app_state):
        consumer.settings["CONSUMERS_LOG_LEVEL"] = "debug"
        await consumer.start()
    return [push, app_state]


async def test_canaries_are_seen_nowhere(
    stage: Stage,
    stand: Stand,
    api: FailingApi,
    sender: Sender,
    service: ServiceProcess,
    consumers: list[ConsumerProcess],
) -> None:
    """No log line, event, HTTP answer, record of Xumm's or command shows a secret, a token or a refused body."""
    await play(stand, api, sender, service)
    await until(lambda: service.logged("task.failed"), 30)
    await until(lambda: all(len(consumer.logged("event.handled")) >= 2 for consumer in consumers), 30)
    shown = await said_by_commands(stage, service, consumers)
    codes = [await program.stop() for program in (service, *consumers)]
    taps = [stage.tap(queue) for queue in stage.queues()]
    events = [event for tap in taps for event in await tap.take()]
    shown |= {program.folder.name: program.output for program in (service, *consumers)}
    shown |= {f"answer {at}": f"{answer.headers} {answer.text}" for at, answer in enumerate(sender.answers)}
    shown |= {f"kept by Xumm {at}": kept for at, kept in enumerate(kept_by_xumm(stand))}
    shown |= {"events": "\n".join(text for tap in taps for text in tap.raw)}

    tokens = issued_by(stand)
    canaries = CANARIES | {f"token {at}": token for at, token in enumerate(tokens)}
    seen = [(place, name) for place, text in shown.items() for name, value in canaries.items() if holds(text, value)]

    assert seen == []
    assert (codes, len(tokens), len(types_in(events))) == ([0, 0, 0], 1, 4)
    assert len(kept_by_xumm(stand)) == 2


async def play(stand: Stand, api: FailingApi, sender: Sender, service: ServiceProcess) -> None:
    """A sign-in, a payment, a lookup that fails, and all the mischief."""
    for request in (SIGN_IN, PAYMENT):
        stand.sandbox.sign(stand.sandbox.create(request).uuid)
    lost = new_payload()
    api.broken.add(lost)
    now = int(time.time())
    token = {"user_token": USER_TOKEN, "token_issued": now, "token_expiration": now + 86_400}
    body = body_of(lost, userToken=token)
    good = headers_of(body, secret=SECRET, Authorization=f"Bearer {BEARER}")
    statuses = [await status_of(sender, service.webhook_url, body, good)]
    for path, spoilt, headers in mischief():
        statuses.append(await status_of(sender, service.webhook_url + path, spoilt, headers))

    assert statuses == [200, *[401] * 8, 413, 415, *[200] * 5]


async def status_of(sender: Sender, url: str, body: bytes, headers: dict[str, str]) -> int | None:
    answer = await sender.send(url, body, headers)
    return answer.status if answer else None


async def said_by_commands(stage: Stage, service: ServiceProcess, consumers: list[ConsumerProcess]) -> dict[str, str]:
    """What an operator's commands print, by command."""
    shown = {}
    for command in COMMANDS:
        done = await run(python("processor", *command), service.folder, service.settings)
        shown[" ".join(command)] = done.out + done.err
        assert done.code == 0, done
    for consumer in consumers:
        for command in (("config",), ("devices", "list")):
            done = await run(python("consumers", *command), consumer.folder, consumer.settings)
            shown[f"{consumer.folder.name} {command[0]}"] = done.out + done.err
    return shown


def issued_by(stand: Stand) -> set[str]:
    """The user tokens that the sandbox sent."""
    return {json.loads(attempt.body)["userToken"]["user_token"] for attempt in stand.sandbox.sender.attempts}


def kept_by_xumm(stand: Stand) -> list[str]:
    """What Xumm's sender keeps of the answers that it got."""
    outcomes = [attempt.outcome for attempt in stand.sandbox.sender.attempts]
    return [outcome.logged for outcome in outcomes if isinstance(outcome, Answered)]


def holds(text: str, value: str) -> bool:
    return value.lower() in text.lower()


def types_in(events: list[Event]) -> set[str]:
    return {event["type"] for event in events}
