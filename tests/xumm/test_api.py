import asyncio
import json
import logging
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from processor.core.application import Application
from processor.core.errors import Denied, LookupFailed, NotFound, Unavailable
from processor.web.client import MAX_BODY, USER_AGENT, Answer
from processor.xumm.answers import find_error
from processor.xumm.api import Credentials, Payloads, XummApi
from processor.xumm.budget import Budget, Priority
from schemas.platform import TokenStates
from tests.support.peer import Reply, drips, everything_said, says, serving, serving_bytes

KEY = "11111111-2222-4333-8444-555555555555"
CANARY = "c0ffee00-dead-4bee-8fee-badc0ffee000"
UUID = "a1b2c3d4-0000-4000-8000-000000000001"
REFERENCE = "99999999-8888-4777-8666-555555555555"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


PAYLOAD: dict[str, Any] = {
    "meta": {
        "exists": True, "uuid": UUID, "submit": True, "resolved": False, "signed": False, "cancelled": False,
        "expired": False,
    },
    "application": {"uuidv4": KEY}, "payload": {"tx_type": "SignIn"}, "response": {}, "custom_meta": None,
}  # fmt: skip
PONG = {"pong": True, "auth": {"application": {"uuidv4": KEY, "name": "Shop", "webhookurl": None, "disabled": 0}}}
CREATED = {
    "uuid": UUID,
    "next": {"always": f"https://xumm.app/sign/{UUID}", "no_push_msg_received": None},
    "refs": {"qr_png": "https://x", "qr_matrix": "https://x", "websocket_status": f"wss://xumm.app/sign/{UUID}"},
    "pushed": False,
}
CANCELLED = {"result": {"cancelled": True, "reason": "OK"}, "meta": {}}
TOKEN = "c0ffee00-dead-4bee-8fee-000000000007"
TOKENS = {"tokens": [{"user_token": TOKEN, "active": True, "issued": 1635000000, "expires": "2021-11-21T12:26:40Z"}]}
TXJSON = {"txjson": {"TransactionType": "SignIn"}}


class RecordingBudget(Budget):
    """A budget that also tells what it was told."""

    def __init__(self) -> None:
        super().__init__(limit=600)
        self.told: list[Any] = []

    async def acquire(self, priority: Priority) -> None:
        self.told.append(priority)
        await super().acquire(priority)

    def correct(self, *, limit: int | None, remaining: int | None) -> None:
        self.told.append((limit, remaining))
        super().correct(limit=limit, remaining=remaining)

    def refuse(self, pause: timedelta | None) -> None:
        self.told.append(("refused", pause))
        super().refuse(pause)


@asynccontextmanager
async def calling(url: URL, *, budget: Budget | None = None, **options: Any) -> AsyncIterator[XummApi]:
    credentials = Credentials(key=KEY, secret=CANARY)
    options.setdefault("timeout", timedelta(seconds=5))
    async with XummApi(
        credentials, budget or Budget(limit=600), base_url=url / "api/v1/platform/", clock=lambda: NOW, **options
    ) as api:
        yield api


async def failure_of(url: URL, **options: Any) -> LookupFailed:
    async with calling(url, **options) as api:
        with pytest.raises(LookupFailed) as caught:
            await api.payload(UUID)
    return caught.value


@pytest.fixture(autouse=True)
def no_secret_in_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test here makes happen, no library logs the secret."""
    caplog.set_level(logging.DEBUG)
    yield
    assert CANARY not in caplog.text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts, with its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{path}.key"]
    name = ["-subj", "/CN=peer", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-out", f"{path}.crt"]
    subprocess.run(["openssl", "req", "-x509", *key, *name], check=True, capture_output=True)
    path.write_text(Path(f"{path}.key").read_text() + Path(f"{path}.crt").read_text())
    return path


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_payload_is_asked_for_with_the_credentials_and_given_raw() -> None:
    """One GET with both credentials in its headers only, and the body as it came."""
    body = b'{"meta": {"exists":true},  "n": 1.10}'
    async with serving(says(body)) as peer, calling(peer.url) as api:
        answer = await api.payload(UUID)

    request = peer.asked[0]
    assert answer == body
    assert (request.method, request.path_qs) == ("GET", f"/api/v1/platform/payload/{UUID}")
    assert (request.headers["x-api-key"], request.headers["x-api-secret"]) == (KEY, CANARY)
    assert request.headers["User-Agent"] == USER_AGENT
    assert [name for name, value in request.headers.items() if CANARY in value] == ["x-api-secret"]


async def test_calls_share_a_connection() -> None:
    """Calls after the first one reuse its connection."""
    async with serving(says(PONG)) as peer, calling(peer.url) as api:
        for _ in range(3):
            await api.ping()

    assert [request.path for request in peer.asked] == ["/api/v1/platform/ping"] * 3
    assert len(peer.connections) == 1


async def test_payload_is_only_asked_for_by_uuid() -> None:
    """What is no UUID never becomes part of an address."""
    async with serving(says({})) as peer, calling(peer.url) as api:
        for odd in ("../ping", "", f"{UUID}/x", f"{UUID}\n"):
            with pytest.raises(Denied, match="UUID"):
                await api.payload(odd)

    assert peer.asked == []


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, 404, NotFound),
        (200, 404, NotFound),
        (401, 0, Denied),
        (403, 0, Denied),
        (400, 813, Denied),
        (500, 813, Denied),
        (500, 814, Denied),
        (400, 602, Denied),
        (408, 0, Unavailable),
        (429, 429, Unavailable),
        (500, 500, Unavailable),
        (503, 0, Unavailable),
        (200, 500, Unavailable),
    ],
)
async def test_errors_of_xumm_keep_their_code_and_reference(status: int, code: int, kind: type[LookupFailed]) -> None:
    """Status and code decide the kind of error; the message has what Xumm's support would ask for."""
    body = {"error": {"reference": REFERENCE, "code": code}}
    async with serving(says(body, status=status)) as peer:
        error = await failure_of(peer.url)

    assert type(error) is kind
    assert str(error).startswith(f"Xumm's API answered {status}, code {code}, reference {REFERENCE}")
    assert CANARY not in everything_said(error)


@pytest.mark.parametrize(
    "error",
    [CANARY, {"reference": CANARY}, {"code": CANARY}, {"code": True}, {"code": 10**40}, {"reference": [], "code": 1}],
)
async def test_odd_error_bodies_are_not_repeated(error: Any) -> None:
    """Only what looks like a code and a reference gets into a message."""
    async with serving(says({"error": error}, status=500)) as peer:
        failure = await failure_of(peer.url)

    assert type(failure) is Unavailable
    assert CANARY not in everything_said(failure)
    assert len(str(failure)) < 60


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        ("17", timedelta(seconds=17)),
        ("Fri, 02 Jan 2026 03:05:05 GMT", timedelta(seconds=60)),
        ("Fri, 02 Jan 2026 03:00:00 GMT", timedelta(0)),
        (None, None),
        ("soon", None),
        ("-5", None),
        ("9" * 40, None),
    ],
)
async def test_limit_reached_is_told_to_caller_and_budget(header: str | None, asked: timedelta | None) -> None:
    """A 429 is Unavailable for as long as it asks, and pauses the budget."""
    headers = {} if header is None else {"Retry-After": header}
    async with serving(says({}, status=429, headers=headers)) as peer:
        budget = RecordingBudget()
        error = await failure_of(peer.url, budget=budget)

    assert isinstance(error, Unavailable)
    assert error.retry_after == asked
    assert budget.told == [Priority.URGENT, ("refused", asked), (None, None)]


@pytest.mark.parametrize(
    ("limit", "remaining", "told"),
    [
        ("60", "59", (60, 59)),
        ("200", "0", (200, 0)),
        ("abc", "abc", (None, None)),
        ("-1", "1.5", (None, None)),
        ("1e9", "٣", (None, None)),
        ("9" * 5000, "", (None, None)),
    ],
)
async def test_rate_limit_headers_correct_the_budget(limit: str, remaining: str, told: tuple[Any, Any]) -> None:
    """What the headers say reaches the budget; what makes no sense in them does not."""
    headers = {"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining}
    async with serving(says({}, headers=headers)) as peer:
        budget = RecordingBudget()
        async with calling(peer.url, budget=budget) as api:
            await api.payload(UUID, Priority.ROUTINE)

    assert budget.told == [Priority.ROUTINE, told]


async def test_full_line_is_unavailable() -> None:
    """When too many calls wait already, the next one fails at once, without a call."""
    async with serving(says({})) as peer, calling(peer.url, budget=Budget(limit=1, max_waiting=0)) as api:
        with pytest.raises(Unavailable, match="wait for the rate limit"):
            await api.payload(UUID)

    assert peer.asked == []


async def test_redirect_is_not_followed() -> None:
    """A redirect is an error, and its target is asked nothing: the secret would go along."""
    async with serving(says({})) as elsewhere:
        target = {"Location": str(elsewhere.url / "payload")}
        for status in (301, 302, 303, 307, 308):
            async with serving(says({}, status=status, headers=target)) as peer:
                error = await failure_of(peer.url)
            assert isinstance(error, Denied)
            assert "redirect" in str(error)

        assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"[]", {}),
        (b"{", {}),
        (b'{"a": NaN}', {}),
        (b"\xff\xfe{}", {}),
        (b'{"a":' * 100_000, {}),
        (b'{"a": ' + b"9" * 10_000 + b"}", {}),
        (b"{}", {"Content-Type": "text/html"}),
        (b"{}", {"Content-Encoding": "br"}),
        (b'{"a": "' + b"x" * MAX_BODY + b'"}', {}),
    ],
    ids=["empty", "list", "cut", "nan", "encoding", "deep", "long-number", "html", "compressed", "huge"],
)
async def test_garbage_is_unavailable(body: bytes, headers: dict[str, str]) -> None:
    """An answer that is no JSON object of sensible size is none, and none of it is repeated."""
    async with serving(says(body, headers=headers)) as peer:
        error = await failure_of(peer.url)

    assert type(error) is Unavailable
    assert len(str(error)) < 100


@pytest.mark.parametrize("blob", ['"\\ud83d"', "[" * 750 + "]" * 750])
async def test_attachment_that_cannot_be_read_spoils_no_answer(blob: str) -> None:
    """What an application attached is repeated in several answers; none of them depends on it."""
    attached = {"custom_meta": {"identifier": "order-1", "blob": "@@"}}
    found, gone = (json.dumps(answer | attached).replace('"@@"', blob).encode() for answer in (PAYLOAD, CANCELLED))

    async with serving(says(found)) as peer, calling(peer.url) as api:
        assert UUID == (await api.fetch_by_identifier("order-1")).meta.uuid
        assert found == await api.payload(UUID)
    async with serving(says(gone)) as peer, calling(peer.url) as api:
        assert (await api.cancel(UUID)).result.cancelled


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/plain", "application/problem+json"])
async def test_content_type_is_taken_leniently(content_type: str) -> None:
    """JSON is JSON, whichever of its names it comes under."""
    async with serving(says(b"{}", headers={"Content-Type": content_type})) as peer, calling(peer.url) as api:
        assert await api.payload(UUID) == b"{}"


async def test_endless_body_is_cut_at_its_size() -> None:
    """A body that is too large is given up when that shows, without waiting for its end."""
    async with serving(drips(first=b" " * (MAX_BODY + 1))) as peer:
        error = await failure_of(peer.url, timeout=timedelta(seconds=60))

    assert "more than 1048576 bytes" in str(error)


async def test_slow_body_is_cut_by_the_clock() -> None:
    """The time-out counts for the whole call, body included."""
    async with serving(drips(first=b'{"a":')) as peer:
        error = await failure_of(peer.url, timeout=timedelta(milliseconds=200))

    assert type(error) is Unavailable
    assert str(error) == "127.0.0.1 did not answer in time"
    assert CANARY not in everything_said(error)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nBad\x00: \r\n\r\n{}",
    ],
    ids=["closed", "not-http", "cut", "bad-header"],
)
async def test_broken_protocol_is_unavailable_and_says_no_secret(answer: bytes) -> None:
    """aiohttp's own errors, some of which hold the request's headers, stay inside."""
    async with serving_bytes(answer) as url:
        error = await failure_of(url)

    assert type(error) is Unavailable
    assert CANARY not in everything_said(error)
    assert error.__cause__ is error.__context__ is None


async def test_refused_connection_is_unavailable() -> None:
    """Nobody listening is a matter of time."""
    async with serving_bytes(b"") as url:
        pass
    error = await failure_of(url)

    assert type(error) is Unavailable
    assert CANARY not in everything_said(error)


async def test_untrusted_certificate_is_refused(certificate: Path) -> None:
    """Whoever cannot prove to be the API gets no credentials."""
    async with serving(says({}), tls=server_tls(certificate)) as peer:
        error = await failure_of(peer.url)

    assert type(error) is Unavailable
    assert "Certificate" in str(error)
    assert peer.asked == []


async def test_certificate_of_a_named_authority_is_trusted(certificate: Path) -> None:
    """With the authority named, the same server is asked."""
    tls = ssl.create_default_context(cafile=certificate)
    async with serving(says({}), tls=server_tls(certificate)) as peer, calling(peer.url, tls=tls) as api:
        assert await api.payload(UUID) == b"{}"


async def test_cancelled_call_is_cancelled() -> None:
    """Cancellation passes through as itself, and the client works on."""
    arrived = asyncio.Event()

    async def hang(_request: web.Request) -> web.StreamResponse:
        arrived.set()
        return await asyncio.Future()

    async with serving(hang) as peer, calling(peer.url) as api:
        call = asyncio.create_task(api.payload(UUID))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        peer.reply = says({})
        assert await api.payload(UUID) == b"{}"


async def test_payloads_are_asked_for_with_their_application_s_credentials() -> None:
    """Each application has its client; an urgent lookup goes before the rest; an unknown application is denied."""
    shop = Application(name="shop", uuid=KEY, secrets=())
    async with serving(says({})) as peer:
        budget = RecordingBudget()
        async with calling(peer.url, budget=budget) as api:
            payloads = Payloads({"shop": api})
            await payloads.payload(shop, UUID, urgent=True)
            await payloads.payload(shop, UUID, urgent=False)
            with pytest.raises(Denied, match="no credentials"):
                await payloads.payload(Application(name="other", uuid=KEY, secrets=()), UUID, urgent=True)

    assert [told for told in budget.told if isinstance(told, Priority)] == [Priority.URGENT, Priority.ROUTINE]


def test_representations_have_no_secret() -> None:
    """Neither credentials nor answers show what they hold."""
    answer = Answer(host="h", status=200, headers={"a": CANARY}, body=CANARY.encode())

    assert CANARY not in repr(Credentials(key=KEY, secret=CANARY)) + repr(answer)


@given(
    status=st.integers(100, 599),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "Content-Type"]), st.text()),
    body=st.binary() | st.sampled_from([b'{"error":{}}', b'{"error":null}', b"{}", b'{"a":1e999999999}']),
)
def test_every_answer_is_judged(status: int, headers: dict[str, str], body: bytes) -> None:
    """Whatever comes back is either a success or one of the errors for it."""
    answer = Answer(host="h", status=status, headers=headers, body=body)
    error = find_error(answer, NOW)

    assert error is None or isinstance(error, LookupFailed)


async def call_of(name: str, api: XummApi) -> Any:
    """One of the requests, by name."""
    match name:
        case "ping":
            return await api.ping()
        case "create":
            return await api.create(TXJSON)
        case "cancel":
            return await api.cancel(UUID)
        case "named":
            return await api.fetch_by_identifier("order 1/2?")
        case _:
            return await api.token_states([TOKEN])


REQUESTS: dict[str, tuple[str, str, Any]] = {
    "ping": ("GET", "ping", PONG),
    "create": ("POST", "payload", CREATED),
    "cancel": ("DELETE", f"payload/{UUID}", CANCELLED),
    "named": ("GET", "payload/ci/order%201%2F2%3F", PAYLOAD),
    "tokens": ("POST", "user-tokens", TOKENS),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_each_request_has_its_address_and_a_typed_answer(name: str) -> None:
    """Method, path and credentials are Xumm's, and the answer is a model of it."""
    method, path, body = REQUESTS[name]
    async with serving(says(body)) as peer, calling(peer.url) as api:
        answer = await call_of(name, api)

    (request,) = peer.asked
    assert (request.method, request.raw_path) == (method, f"/api/v1/platform/{path}")
    assert [header for header, value in request.headers.items() if CANARY in value] == ["x-api-secret"]
    assert CANARY.encode() not in peer.bodies[0]
    assert answer == type(answer).model_validate(body)


async def test_what_is_sent() -> None:
    """The body of a new payload goes as it is, and so do the tokens to check."""
    async with serving(says(CREATED | TOKENS)) as peer, calling(peer.url) as api:
        await api.create(TXJSON)
        await api.token_states([TOKEN])

    assert [json.loads(body) for body in peer.bodies] == [TXJSON, {"tokens": [TOKEN]}]


@pytest.mark.parametrize(
    ("reason", "cancelled", "stands"),
    [
        ("OK", True, True),
        ("ALREADY_CANCELLED", False, True),
        ("ALREADY_RESOLVED", False, False),
        ("ALREADY_OPENED", False, False),
        ("ALREADY_EXPIRED", False, False),
    ],
)
async def test_cancelling_says_whether_it_stands(reason: str, *, cancelled: bool, stands: bool) -> None:
    """A payload that was cancelled before is cancelled; one that somebody opened is not."""
    body = {"result": {"cancelled": cancelled, "reason": reason}, "meta": {}}
    async with serving(says(body)) as peer, calling(peer.url) as api:
        answer = await api.cancel(UUID)

    assert (reason, stands) == (answer.result.reason, answer.stands)


@pytest.mark.parametrize("name", REQUESTS)
async def test_an_answer_that_lacks_something_is_unavailable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the places, and none of the values."""
    monkeypatch.setattr("processor.core.retry.REQUEST_ATTEMPTS", 1)
    body = {"uuid": CANARY, "tokens": [{"user_token": CANARY}]}
    async with serving(says(body)) as peer, calling(peer.url) as api:
        with pytest.raises(Unavailable, match="does not validate at") as caught:
            await call_of(name, api)

    assert CANARY not in everything_said(caught.value)


@pytest.mark.parametrize("identifier", ["", ".", "..", "x" * 41])
async def test_an_identifier_that_is_none_is_denied(identifier: str) -> None:
    """It never becomes part of an address."""
    async with serving(says({})) as peer, calling(peer.url) as api:
        with pytest.raises(Denied, match="identifier"):
            await api.fetch_by_identifier(identifier)

    assert peer.asked == []


@pytest.mark.parametrize("tokens", [[], ["nonsense"], [TOKEN] * 101])
async def test_tokens_that_are_none_are_denied(tokens: list[str]) -> None:
    """None, too many, or no UUIDs: not asked, and not repeated in the error."""
    async with serving(says(TOKENS)) as peer, calling(peer.url) as api:
        with pytest.raises(Denied) as caught:
            await api.token_states(tokens)

    assert peer.asked == []
    assert TOKEN not in everything_said(caught.value)


class Failing:
    """A peer that fails so many times before it answers."""

    def __init__(self, failure: Reply, *, times: int, body: object) -> None:
        self._failure = failure
        self._times = times
        self._answer = says(body)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self._times -= 1
        return await (self._failure if self._times >= 0 else self._answer)(request)


async def _hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


BUSY = says({}, status=503)
LIMITED = says({}, status=429, headers={"Retry-After": "0"})


@pytest.mark.parametrize(
    ("name", "failure", "calls"),
    [
        ("ping", BUSY, 2),
        ("cancel", BUSY, 2),
        ("named", BUSY, 2),
        ("cancel", _hang_up, 2),
        ("create", LIMITED, 2),
        ("tokens", LIMITED, 2),
    ],
)
async def test_what_may_be_repeated_is(name: str, failure: Reply, calls: int) -> None:
    """Reading and withdrawing again do no harm, and what was refused for its number was not done."""
    async with serving(Failing(failure, times=1, body=REQUESTS[name][2])) as peer, calling(peer.url) as api:
        answer = await call_of(name, api)

    assert len(peer.asked) == calls
    assert answer == type(answer).model_validate(REQUESTS[name][2])


@pytest.mark.parametrize("failure", [BUSY, _hang_up, says(b"{"), says({}, status=408)])
async def test_creating_is_not_repeated_unless_nothing_was_created(failure: Reply) -> None:
    """After an answer that leaves it open, a second payload would be worse than none."""
    async with serving(Failing(failure, times=1, body=CREATED)) as peer, calling(peer.url) as api:
        with pytest.raises(Unavailable) as caught:
            await api.create(TXJSON)

    assert (len(peer.asked), caught.value.untouched) == (1, False)


async def test_creating_is_repeated_while_the_connection_is_refused() -> None:
    """Nobody heard of it then."""
    async with serving(says(CREATED)) as peer:
        url = peer.url
    with pytest.raises(Unavailable) as caught:
        async with calling(url, patience=timedelta(seconds=1)) as api:
            await api.create(TXJSON)

    assert caught.value.untouched


@pytest.mark.parametrize("status", [404, 401, 400])
async def test_what_is_for_good_is_not_repeated(status: int) -> None:
    """Wrong credentials, wrong requests and missing payloads are told at once."""
    async with serving(says({"error": {"code": status}}, status=status)) as peer, calling(peer.url) as api:
        with pytest.raises(LookupFailed):
            await api.ping()

    assert len(peer.asked) == 1


async def test_a_lookup_is_made_once() -> None:
    """Its task tries again, slowly: the client does not."""
    async with serving(BUSY) as peer:
        await failure_of(peer.url)

    assert len(peer.asked) == 1


async def test_a_long_pause_is_told_at_once() -> None:
    """Who waits is not kept waiting for a limit that ends after their patience."""
    async with serving(says({}, status=429, headers={"Retry-After": "60"})) as peer, calling(peer.url) as api:
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable, match="429"):
                await api.ping()

    assert len(peer.asked) == 1


async def test_patience_ends_whatever_is_waited_for() -> None:
    """The budget, the connection and the answer share one time."""
    budget = Budget(limit=1)
    await budget.acquire(Priority.REQUEST)
    brief = timedelta(milliseconds=100)
    async with serving(says(PONG)) as peer, calling(peer.url, budget=budget, patience=brief) as api:
        with pytest.raises(Unavailable, match=r"within 0\.1 s"):
            await api.ping()

    assert peer.asked == []
    assert budget.waiting == 0


async def test_creations_have_their_own_count_within_the_budget() -> None:
    """What answers to creations tell lowers theirs only; both take from the one budget."""
    headers = {"X-RateLimit-Limit": "30", "X-RateLimit-Remaining": "0"}
    budget = RecordingBudget()
    async with (
        serving(says(CREATED | PONG, headers=headers)) as peer,
        calling(peer.url, budget=budget, patience=timedelta(milliseconds=300)) as api,
    ):
        await api.create(TXJSON)
        told = list(budget.told)
        with pytest.raises(Unavailable):
            await api.create(TXJSON)
        await api.ping()

    assert told == [Priority.REQUEST]
    assert [request.method for request in peer.asked] == ["POST", "GET"]


def test_token_states_show_no_token() -> None:
    """A user token is a secret."""
    assert TOKEN not in repr(TokenStates.model_validate(TOKENS))
