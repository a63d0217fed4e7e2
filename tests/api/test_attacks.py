"""What attackers try, one test each.

What is tried on the parts alone stands with them: whatever can be wrong with a token in
`tests/core/access/test_jwt.py`, with return URLs in `tests/core/sign_request/test_return_url.py`, with templates in
`tests/core/sign_request/test_template.py`; replayed states and codes, open redirects and PKCE in
`tests/api/sign_in/test_oauth2_handlers.py` and `tests/api/sign_in/test_oauth2_flow.py`, replays across instances in
`tests/contract/test_used_once.py`.
"""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs

from processor.api.callers import RequestAuthenticator
from processor.api.operations import OPERATIONS
from processor.api.rate_limits import RateLimits
from processor.api.sign_in.identity_tokens import IdentityVerifier, XummJwtAuthenticator
from processor.core.access import service_key
from processor.core.access.limits import CallLimits, RequestLimits, RequestShares
from processor.core.access.oauth2 import Client, ClientSecret
from processor.core.access.service_key import ServiceKey, digest_of, find_key
from processor.web.client import Connections
from processor.web.problem import Problem
from processor.xumm.provider_keys import KeyCache
from tests.api.stand import RETURN, Answer, Stand, standing
from tests.sandbox.world import ALICE, BOB, OTHER, SHOP
from tests.support.peer import Peer, says, serving
from tests.support.tokens import claims, forged, identity, jwk, public_key

PATH = "/v1/sign-requests"
PAYMENT: dict[str, Any] = {
    "app": "shop",
    "txjson": {"TransactionType": "Payment", "Destination": BOB, "Amount": "1000000"},
    "submit": True,
}
STRANGER = "https://evil.example"
CONTROLS = ["\x00", "\x1b[2J", "a\r\nSet-Cookie: a=b", "\u202etxt", "\x7f"]
LONG = "x" * 5000


@dataclass(slots=True, kw_only=True)
class Attacked:
    """A service, and the provider whose tokens it believes."""

    stand: Stand
    provider: Peer

    def of(self, app: Any = SHOP, **changes: Any) -> dict[str, Any]:
        named = {"aud": app.key, "client_id": app.key, "app_uuidv4": app.key, "iss": str(self.provider.url).rstrip("/")}
        return {"now": datetime.now(UTC)} | named | changes

    def token(self, **changes: Any) -> str:
        return identity(**self.of(**changes))

    async def call(self, *args: Any, **how: Any) -> Answer:
        return await self.stand.call(*args, **how)

    async def asked(self, bearer: str) -> str:
        answer = await self.call("POST", PATH, PAYMENT, bearer=bearer)
        assert answer.status == 201, answer.json
        return str(answer.json["id"])


@pytest.fixture
async def attacked(tmp_path: Path) -> AsyncIterator[Attacked]:
    async with serving(says({"keys": [jwk()]})) as provider:
        url = str(provider.url)
        shop = {"oauth2_url": url, "deep_links": "shopapp://signin"}
        async with standing(tmp_path, shop=shop, public_url="https://service.example") as stand:
            yield Attacked(stand=stand, provider=provider)


@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("DELETE", ""), ("GET", "/events")])
async def test_request_of_another_user(attacked: Attacked, method: str, suffix: str) -> None:
    """Reading, withdrawing and following it are answered as for one that does not exist."""
    made = await attacked.asked(attacked.token(sub=ALICE))
    nothing = "00000000-0000-4000-8000-000000000000"
    answers = [
        await attacked.call(method, f"{PATH}/{named}{suffix}", bearer=attacked.token(sub=BOB))
        for named in (made, nothing)
    ]

    assert [(each.status, each.json["reason"]) for each in answers] == [(404, "not_found")] * 2
    assert answers[0].json == answers[1].json


TOKENS: dict[str, Callable[[Attacked], str]] = {
    "of another application": lambda it: it.token(app=OTHER),
    "unsigned": lambda it: forged({"alg": "none"}, claims(**it.of())),
    "signed with the public key": lambda it: forged(
        {"alg": "HS256"}, claims(**it.of()), public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    ),
    "signed with the API secret": lambda it: forged({"alg": "HS256"}, claims(**it.of()), SHOP.secret.encode()),
    "signed with another key": lambda it: it.token(key="thief"),
    "for another audience": lambda it: it.token(aud="8f5b1d3a-0000-4000-8000-00000000a002"),
    "by another issuer": lambda it: it.token(iss="https://oauth2.evil.example"),
    "without an end": lambda it: it.token(exp=None),
    "without a subject": lambda it: it.token(sub=None),
    "with a false address": lambda it: it.token(sub=ALICE[:-1] + "x"),
    "with a blank behind the address": lambda it: it.token(sub=f"{ALICE} "),
    "with a line end behind the address": lambda it: it.token(sub=f"{ALICE}\n"),
    "expired": lambda it: it.token(exp=int(datetime.now(UTC).timestamp()) - 3600),
    "of the test network": lambda it: it.token(network_type="TESTNET"),
    "over-long": lambda it: it.token(more="x" * 5000),
}


@pytest.mark.parametrize("kind", TOKENS)
async def test_wrong_token(attacked: Attacked, kind: str) -> None:
    """It proves nothing, and the answer does not say why."""
    assert (await attacked.call("GET", "/v1/me?app=shop", bearer=attacked.token())).status == 200
    answer = await attacked.call("GET", "/v1/me?app=shop", bearer=TOKENS[kind](attacked))

    assert (answer.status, answer.json["reason"]) == (401, "key_invalid")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.evil.com/signed",
        "https://app.example.com.evil.com/signed",
        "//app.example.com/signed",
        "https://user@app.example.com/signed",
        "https://app.example.com@evil.com/signed",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://app.example.com/signed\r\nLocation: https://evil.com",
        f"{RETURN}\x00",
        f"{RETURN}?next=https://evil.com",
    ],
)
async def test_return_to_the_attacker(attacked: Attacked, url: str) -> None:
    """No user is sent anywhere but where the operator wrote, whichever way they sign."""
    query = {"app": "shop", "return": url, "code_challenge": "A" * 43}
    async with attacked.stand.session.get(
        f"{attacked.stand.processor.url}/v1/oauth2/start", params=query, allow_redirects=False
    ) as started:
        assert (started.status in {400, 403}, "Location" in started.headers) == (True, False)
    for target in ("app", "web"):
        body = PAYMENT | {"return_url": {target: url}}
        assert (await attacked.call("POST", PATH, body)).json["reason"] == "return_url_forbidden"
        signing = {"app": "shop", "return_url": {target: url}}
        assert (await attacked.call("POST", "/v1/sign-in", signing, bearer=None)).status == 422
    assert attacked.stand.payloads == 0


@pytest.mark.parametrize("text", [LONG, *CONTROLS], ids=repr)
@pytest.mark.parametrize("field", ["app", "instruction", "identifier", "account", "force_network"])
async def test_odd_text_in_a_field(attacked: Attacked, field: str, text: str) -> None:
    """Over-long text and control characters reach neither Xumm nor the store."""
    answer = await attacked.call("POST", PATH, PAYMENT | {field: text})

    assert (answer.status, answer.json["reason"], attacked.stand.payloads) == (400, "body_invalid", 0)
    assert text not in json.dumps(answer.json, ensure_ascii=False)


@pytest.mark.parametrize("text", [LONG, *CONTROLS], ids=repr)
async def test_odd_text_in_other_bodies(attacked: Attacked, text: str) -> None:
    """Nor does it where nobody has signed in yet."""
    answers = [
        await attacked.call("POST", "/v1/sign-in", {"app": text}, bearer=None),
        await attacked.call("POST", "/v1/oauth2/token", {"code": text, "code_verifier": "x" * 43}, bearer=None),
        await attacked.call("POST", "/v1/oauth2/token", {"code": "x", "code_verifier": text}, bearer=None),
    ]

    assert [each.status for each in answers] == [400] * 3


@pytest.mark.parametrize("text", ["%00", "%0d%0aX:%20y", "%1b", "%e2%80%ae", "%ff", "%2e%2e%2f", LONG], ids=repr)
async def test_odd_text_in_the_path(attacked: Attacked, text: str) -> None:
    """It names nothing."""
    for path in (f"{PATH}/{text}", f"{PATH}/{text}/events", f"/v1/{text}"):
        answer = await raw(attacked, f"GET {path} HTTP/1.1", "Authorization: Bearer backend's key")
        assert (answer[0], answer[1]["reason"]) == (404, "not_found"), path
    answer = await raw(attacked, f"GET /v1/sign-in/{text} HTTP/1.1", "Authorization: Bearer xwe_x")
    assert (answer[0], answer[1]["reason"]) == (404, "not_found")


@pytest.mark.parametrize("name", ["Idempotency-Key", "Authorization", "Last-Event-ID", "X-Forwarded-For", "Origin"])
@pytest.mark.parametrize("value", ["a\x00b", "a\x01b", "a\nb: c\x00", "x" * 9000, "\x7f", "ä"], ids=repr)
async def test_odd_text_in_a_header(attacked: Attacked, name: str, value: str) -> None:
    """It breaks nothing, and is not repeated."""
    status, told = await raw(attacked, f"GET {PATH} HTTP/1.1", f"{name}: {value}")

    assert status in {400, 401}
    assert value not in json.dumps(told, ensure_ascii=False)


async def raw(attacked: Attacked, line: str, *headers: str) -> tuple[int, Any]:
    """Status and problem of a request that no decent client would send."""
    host, port = attacked.stand.processor.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write("\r\n".join([line, "Host: x", "Connection: close", *headers, "", ""]).encode())
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body)


async def test_key_for_another_body(attacked: Attacked) -> None:
    """An idempotency key stands for one request, whoever tries to slip another under it."""
    first = await attacked.call("POST", PATH, PAYMENT, Idempotency_Key="k")
    other = await attacked.call("POST", PATH, PAYMENT | {"instruction": "pay me"}, Idempotency_Key="k")

    assert (first.status, other.status, other.json["reason"]) == (201, 409, "idempotency_key_reused")
    assert attacked.stand.payloads == 1


async def test_identifier_of_somebody_else(attacked: Attacked) -> None:
    """What a user names stays theirs: nobody else's identifier is taken, and the event says who asked."""
    mine, other = attacked.token(sub=ALICE), attacked.token(sub=BOB)
    named = PAYMENT | {"identifier": "order-43"}
    users = [(await attacked.call("POST", PATH, named, bearer=bearer)).json for bearer in (mine, other)]
    merchants = (await attacked.call("POST", PATH, named)).json
    at_xumm = [attacked.stand.sandbox.payloads.get(each["id"]).request for each in (*users, merchants)]
    identifiers = [request.custom_meta.identifier for request in at_xumm]

    assert ["order-43"] * 3 == [each["identifier"] for each in (*users, merchants)]
    assert ("order-43", 3) == (identifiers[2], len(set(identifiers)))
    assert [True, True] == [str(each).startswith("xwu-") and len(str(each)) <= 40 for each in identifiers[:2]]


async def test_identifier_that_is_read_back(attacked: Attacked) -> None:
    """A user's status, list and stream show the identifier that the user gave."""
    bearer = attacked.token(sub=ALICE)
    answer = await attacked.call("POST", PATH, PAYMENT | {"identifier": "order-43"}, bearer=bearer)
    again = await attacked.call("POST", PATH, PAYMENT | {"identifier": "order-43"}, bearer=bearer)
    made = answer.json
    attacked.stand.sandbox.sign(made["id"], account=ALICE)
    status = await attacked.stand.outcome(made["status_url"], bearer)
    (listed,) = (await attacked.call("GET", PATH, bearer=bearer)).json["items"]
    told = await heard(attacked.stand, "GET", made["events_url"], bearer)
    events = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]

    assert (409, "identifier_taken") == (again.status, again.json["reason"])
    assert ["order-43"] * 2 == [status["identifier"], listed["identifier"]]
    assert {"order-43"} == {each["data"]["custom_meta"]["identifier"] for each in events if each["data"]["custom_meta"]}
    assert {f"user:{ALICE}"} == {each["data"]["asked_by"] for each in events}


@pytest.mark.parametrize("identifier", ["xwp-1", "xwu-0123456789"])
async def test_identifier_that_looks_like_a_users(attacked: Attacked, identifier: str) -> None:
    """How this service marks identifiers of its own making is for nobody else to use."""
    answer = await attacked.call("POST", PATH, PAYMENT | {"identifier": identifier})

    assert (422, [{"field": "identifier", "reason": "reserved"}]) == (answer.status, answer.json["errors"])


class NoSessions:
    """A store that has none."""

    async def find(self, token: str) -> None:
        return None


async def test_ten_thousand_wrong_tokens() -> None:
    """They cost the provider one call, and this service no memory; who sends them is told to wait."""
    async with serving(says({"keys": [jwk()]})) as provider, Connections(timeout=timedelta(seconds=5)) as connections:
        issuer = str(provider.url).rstrip("/")
        secret = ClientSecret(text=SHOP.secret)
        client = Client(app="shop", api_key=SHOP.key, secrets=(secret,), network="MAINNET", provider=issuer)
        async with KeyCache(provider.url / "certs", connections, ttl=timedelta(hours=1), time=lambda: 0.0) as keys:
            verifier = IdentityVerifier({issuer: keys}, clock=lambda: datetime.now(UTC))
            limits = RateLimits(
                callers=CallLimits(60),
                services=CallLimits(60),
                requests=RequestLimits(1, RequestShares()),
                time=lambda: 0.0,
            )
            callers = RequestAuthenticator([], NoSessions(), limits, [XummJwtAuthenticator({"shop": client}, verifier)])
            wrong = identity(
                key="thief", now=datetime.now(UTC), aud=SHOP.key, client_id=SHOP.key, app_uuidv4=SHOP.key, iss=issuer
            )
            with capture_logs():
                found = [await refused(callers, f"{wrong[:-16]}{number:08}{wrong[-8:]}") for number in range(10_000)]

    assert (found.count("key_invalid"), found.count("rate_limited")) == (60, 9_940)
    assert len(provider.asked) == 1
    assert len(limits.callers._buckets) == 1


REQUEST = make_mocked_request("GET", "/v1/me")


async def refused(callers: RequestAuthenticator, bearer: str) -> str:
    try:
        await callers.admit(REQUEST.clone(headers={"Authorization": f"Bearer {bearer}"}))
    except Problem as problem:
        return problem.reason
    return "let in"


async def test_session_that_ended(attacked: Attacked) -> None:
    """After signing out, or after its time, a session is worth nothing."""
    sessions = attacked.stand.processor.sessions
    token = await sessions.create("shop", ALICE, None, timedelta(minutes=1))
    over = await sessions.create("shop", ALICE, None, timedelta(seconds=-1))
    before = await attacked.call("GET", "/v1/me", bearer=token)
    out = await attacked.call("DELETE", "/v1/session", bearer=token)
    after = [
        await attacked.call(method, path, bearer=bearer)
        for bearer in (token, over)
        for method, path in (("GET", "/v1/me"), ("DELETE", "/v1/session"), ("GET", PATH))
    ]

    assert (before.status, out.status) == (200, 204)
    assert [(each.status, each.json["reason"]) for each in after] == [(401, "key_invalid")] * 6


async def test_session_for_another_application(attacked: Attacked) -> None:
    """It makes, sees and withdraws nothing there, even for the same account."""
    sessions = attacked.stand.processor.sessions
    ours, theirs = [await sessions.create(app, ALICE, None, timedelta(minutes=1)) for app in ("shop", "other")]
    made = await attacked.asked(ours)
    answers = [
        await attacked.call("POST", PATH, PAYMENT, bearer=theirs),
        await attacked.call("GET", f"{PATH}/{made}", bearer=theirs),
        await attacked.call("DELETE", f"{PATH}/{made}", bearer=theirs),
    ]

    assert [each.status for each in answers] == [403, 404, 404]
    assert (await attacked.call("GET", PATH, bearer=theirs)).json["items"] == []
    assert (await attacked.call("GET", "/v1/me?app=shop", bearer=theirs)).json["app"] == "other"


async def test_key_without_the_scope(attacked: Attacked) -> None:
    """A service key opens what it was made for; and a user is no service."""
    made = await attacked.asked("backend's key")
    watch = {"app": "shop", "payload": made}
    answers = [
        await attacked.call("POST", PATH, PAYMENT, bearer="reader's key"),
        await attacked.call("DELETE", f"{PATH}/{made}", bearer="reader's key"),
        await attacked.call("POST", "/v1/watches", watch, bearer="backend's key"),
        await attacked.call("POST", "/v1/watches", watch, bearer=attacked.token()),
        await attacked.call("GET", "/v1/me", bearer="backend's key"),
    ]

    assert [(each.status, each.json["reason"]) for each in answers] == [(403, "scope_missing")] * 5


def test_timing_of_keys() -> None:
    """Every key is compared, in constant time, whether an earlier one was right or none is."""
    keys = [ServiceKey(name=name, digest=digest_of(name), scopes=frozenset()) for name in "abc"]
    compared: list[str] = []

    def watched() -> Iterator[ServiceKey]:
        for key in keys:
            compared.append(key.name)
            yield key

    assert find_key(watched(), "a") == keys[0]
    assert find_key(watched(), "x") is None
    assert compared == ["a", "b", "c"] * 2
    assert "compare_digest" in inspect.getsource(service_key.find_key)


async def test_user_token_is_nowhere(attacked: Attacked, capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever asks whatever, neither answers nor their headers, streams or log lines bear it."""
    stand = attacked.stand
    begun, session = await stand.sign_in(account=ALICE)
    made = await attacked.asked(session)
    stand.sandbox.sign(made, account=ALICE)
    await stand.outcome(f"{PATH}/{made}", session)
    signature = stand.sandbox.payloads.get(made).signature
    assert signature is not None
    canary = signature.user_token.token
    said = []
    for operation in OPERATIONS:
        for bearer in (session, "backend's key", begun["exchange_secret"], canary, None):
            for named in (made, begun["id"], canary):
                path = operation.path.replace("{id}", named)
                told = await heard(stand, operation.method, f"{path}?state=x&app=shop", bearer)
                said += [told] if canary not in {named, bearer} else []
    out, err = capfd.readouterr()

    assert "event: xumm.resolve" in "".join(said)
    assert [text for text in (*said, out, err) if canary in text or canary.replace("-", "") in text] == []


async def heard(stand: Stand, method: str, path: str, bearer: str | None) -> str:
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    url = f"{stand.processor.url}{path}"
    async with stand.session.request(method, url, headers=headers, json={}, allow_redirects=False) as response:
        return f"{dict(response.headers)} {await response.text()}"


@pytest.mark.parametrize("origins", [(), ("https://shop.example",)])
async def test_page_of_a_stranger(tmp_path: Path, origins: tuple[str, ...]) -> None:
    """Browsers let it read nothing: no answer of any path names it, whatever it asks."""
    api = {"allowed_origins": origins, "calls_per_minute": 10_000}
    async with standing(tmp_path, api=api, public_url="https://service.example") as stand:
        paths = [each.path.replace("{id}", "x") for each in OPERATIONS] + ["/v1/nowhere"]
        answers = [
            await stand.call(method, path, bearer=None, Origin=origin)
            for path in paths
            for method in ("GET", "OPTIONS", "POST")
            for origin in (STRANGER, "null", "https://shop.example.evil.example")
        ]

    assert [name for each in answers for name in each.headers if name.startswith("Access-Control")] == []
