"""Sign requests over real HTTP, with a sandbox as Xumm and the real store."""

import asyncio
import base64
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from processor.api.sign_in.oauth2_handlers import return_to_app
from processor.sandbox.faults import Faults
from processor.store import user_tokens
from tests.api.stand import RETURN, WEB_RETURN, Stand, standing
from tests.sandbox.clock import until
from tests.sandbox.world import ALICE, BOB

PAYMENT: dict[str, Any] = {
    "app": "shop",
    "txjson": {"TransactionType": "Payment", "Destination": BOB, "Amount": "1000000"},
    "submit": True,
}
PATH = "/v1/sign-requests"
FOREIGN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with standing(tmp_path) as stand:
        yield stand


async def made(stand: Stand, bearer: str = "backend's key", **changes: Any) -> dict[str, Any]:
    answer = await stand.call("POST", PATH, PAYMENT | changes, bearer=bearer)
    assert answer.status == 201, answer.json
    return dict(answer.json)


async def events(stand: Stand, path: str, bearer: str, **headers: str) -> list[tuple[int, str, Any]]:
    """Id, type and body of each event, until the stream ends."""
    found: list[tuple[int, str, Any]] = []
    named = {"Authorization": f"Bearer {bearer}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with asyncio.timeout(20), stand.session.get(f"{stand.processor.url}{path}", headers=named) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        text = (await response.read()).decode()
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != ":")
        if "id" in fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def modules_of(picture: str) -> list[str]:
    """The modules of a code, read from its picture: gray of 1 bit, 6 dots a module, within 4 modules of quiet."""
    raw = base64.b64decode(picture.removeprefix("data:image/png;base64,"))
    side, start = int.from_bytes(raw[16:20]), raw.index(b"IDAT")
    dots = zlib.decompress(raw[start + 4 : start + 4 + int.from_bytes(raw[start - 4 : start])])
    width, lines = (side + 7) // 8, [b"\0" * ((side + 7) // 8)]
    for at in range(0, len(dots), 1 + width):
        line, above = dots[at + 1 : at + 1 + width], lines[-1]
        lines.append(bytes((a + b) % 256 for a, b in zip(line, above, strict=True)) if dots[at] else line)
    middles = range(4 * 6 + 3, side - 4 * 6, 6)
    return ["".join("10"[lines[y + 1][x // 8] >> (7 - x % 8) & 1] for x in middles) for y in middles]


async def test_sign_in(stand: Stand) -> None:
    """From the first call to a session: a link, a code, a proven signature, and a token that works."""
    begun, token = await stand.sign_in(account=ALICE)
    status = (await stand.call("GET", begun["status_url"], bearer=begun["exchange_secret"])).json
    listed = await stand.call("GET", PATH, bearer=token)

    assert begun["link"].endswith(f"/sign/{begun['id']}")
    assert base64.b64decode(begun["qr"]["png"].removeprefix("data:image/png;base64,"))[:4] == b"\x89PNG"
    assert begun["qr"]["matrix"] == modules_of(begun["qr"]["png"])
    assert (begun["delivery"], begun["tokens_kept"]) == ("link", True)
    assert (status["outcome"], status["account"], status["reported"]) == (
        "signed",
        ALICE,
        ["created", "opened", "signed"],
    )
    assert (listed.status, listed.json) == (200, {"items": [], "next": None})


async def test_session_comes_once_and_only_to_who_began(stand: Stand) -> None:
    """Neither a second call nor somebody else's secret gets one, and nothing before the signature is proven."""
    begun = (await stand.call("POST", "/v1/sign-in", {"app": "shop"}, bearer=None)).json
    other = (await stand.call("POST", "/v1/sign-in", {"app": "shop"}, bearer=None)).json
    early = await stand.call("POST", begun["session_url"], bearer=begun["exchange_secret"])
    stand.sandbox.sign(begun["id"])
    await stand.outcome(begun["status_url"], begun["exchange_secret"])
    wrong = await stand.call("POST", begun["session_url"], bearer=other["exchange_secret"])
    keyed = await stand.call("POST", begun["session_url"], bearer="backend's key")
    answers = [await stand.call("POST", begun["session_url"], bearer=begun["exchange_secret"]) for _ in range(2)]

    assert (early.status, early.json["reason"]) == (409, "not_signed")
    assert [each.json["reason"] for each in (wrong, keyed)] == ["not_found"] * 2
    assert [each.status for each in answers] == [201, 409]
    assert answers[1].json["reason"] == "session_taken"


async def test_rejected_sign_in_gives_no_session(stand: Stand) -> None:
    """Who declines has not signed in."""
    begun = (await stand.call("POST", "/v1/sign-in", {"app": "shop"}, bearer=None)).json
    stand.sandbox.reject(begun["id"])
    await stand.outcome(begun["status_url"], begun["exchange_secret"])
    answer = await stand.call("POST", begun["session_url"], bearer=begun["exchange_secret"])

    assert answer.json["errors"] == [{"field": "outcome", "reason": "rejected"}]


async def test_payment(stand: Stand) -> None:
    """What was asked reaches Xumm, and its end the caller: proven, with account and transaction."""
    order = await made(stand, identifier="order-1", blob={"a": [1]}, instruction="Hey ❤️", expire=5)
    request = stand.sandbox.payloads.get(order["id"]).request
    stand.sandbox.sign(order["id"], account=ALICE)
    told = await stand.outcome(order["status_url"], "backend's key")

    assert (request.custom_meta.identifier, request.custom_meta.blob) == ("order-1", {"a": [1]})
    assert request.expire.total_seconds() == 300
    assert (told["outcome"], told["account"], told["tx_type"], told["submit"]) == ("validated", ALICE, "Payment", True)
    assert len(told["txid"]) == 64


async def test_events(stand: Stand) -> None:
    """All that happens comes in order as it is committed, and again from any point; after the outcome it ends."""
    order = await made(stand, account=BOB)
    live = asyncio.create_task(events(stand, order["events_url"], "backend's key"))
    await asyncio.sleep(0)
    stand.sandbox.sign(order["id"])
    seen = await live
    again = await events(stand, order["events_url"], "backend's key", Last_Event_ID=str(seen[0][0]))

    assert [seen[0][1], seen[-1][1]] == ["xumm.sign.created", "xumm.resolve.validated"]
    assert {(body["subject"], body["data"]["asked_of"]) for _, _, body in seen} == {(order["id"], BOB)}
    assert "xumm.sign.signed" in [kind for _, kind, _ in seen]
    assert again == seen[1:]


async def test_streams_are_bounded(tmp_path: Path) -> None:
    """A caller who has as many streams as it may is told so, and may have another when one has ended."""
    api = {"streams": 1, "service_calls_per_minute": 1000, "requests_per_minute": 1000}
    async with standing(tmp_path, api=api) as stand:
        order = await made(stand)
        live = asyncio.create_task(events(stand, order["events_url"], "backend's key"))
        await until(lambda: stand.processor.streams._open)
        refused = await stand.call("GET", order["events_url"])
        stand.sandbox.reject(order["id"])
        await live
        seen = await events(stand, order["events_url"], "backend's key")

    assert (refused.status, refused.json["reason"]) == (429, "too_many_streams")
    assert seen[-1][1] == "xumm.resolve.rejected"


async def test_streams_are_bounded_in_all(tmp_path: Path) -> None:
    """Whoever they are for, they leave half of the connections to others."""
    async with standing(tmp_path, max_connections=2) as stand:
        order = await made(stand)
        live = asyncio.create_task(events(stand, order["events_url"], "backend's key"))
        await until(lambda: stand.processor.streams._open)
        refused = await stand.call("GET", order["events_url"], bearer="reader's key")
        stand.sandbox.reject(order["id"])
        await live

    assert (refused.status, refused.json["reason"]) == (429, "too_many_streams")


async def test_idempotency(stand: Stand) -> None:
    """The same again is the same answer and no second payload; something else under the key is refused."""
    first, again = [await stand.call("POST", PATH, PAYMENT, Idempotency_Key="k") for _ in range(2)]
    other = await stand.call("POST", PATH, PAYMENT | {"submit": False}, Idempotency_Key="k")
    plain = await stand.call("POST", PATH, PAYMENT)

    assert (first.status, again.status, again.json) == (201, 200, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status, other.json["reason"]) == (409, "idempotency_key_reused")
    assert plain.status == 201
    assert stand.payloads == 2


async def test_at_the_same_time(stand: Stand) -> None:
    """However many ask at once under one key, Xumm gets one payload."""
    answers = await asyncio.gather(*(stand.call("POST", PATH, PAYMENT, Idempotency_Key="k") for _ in range(8)))

    assert stand.payloads == 1
    assert {each.status for each in answers} <= {200, 201, 409}
    assert sum(each.status == 201 for each in answers) == 1


@pytest.mark.parametrize("forgotten", ["payload = NULL, answer = NULL, held_until = 0"])
async def test_crash_after_xumm_made_it(stand: Stand, forgotten: str) -> None:
    """Whoever repeats a request that broke off between Xumm's answer and our commit gets that payload, and no other."""
    first = await stand.call("POST", PATH, PAYMENT, Idempotency_Key="k")
    await _execute(stand, f"UPDATE sign_requests SET {forgotten}")  # noqa: S608  our own text
    again = await stand.call("POST", PATH, PAYMENT, Idempotency_Key="k")

    assert (again.status, again.json["id"]) == (201, first.json["id"])
    assert stand.payloads == 1


async def _execute(stand: Stand, statement: str) -> None:
    await stand.processor.writer.run(lambda connection: connection.exec_driver_sql(statement) and None)


async def test_xumm_is_out_of_reach(stand: Stand) -> None:
    """The caller is told to try again; while it is unclear whether the payload stands nobody makes another."""
    stand.sandbox.faults.set(Faults(api="failing"))
    down = await stand.call("POST", PATH, PAYMENT, Idempotency_Key="k")
    held = await stand.call("POST", PATH, PAYMENT, Idempotency_Key="k")
    stand.sandbox.faults.clear()
    await _execute(stand, "UPDATE sign_requests SET held_until = 0")
    again = await stand.call("POST", PATH, PAYMENT, Idempotency_Key="k")

    assert (down.status, down.json["reason"]) == (503, "xumm_unavailable")
    assert (held.status, held.json["reason"]) == (409, "idempotency_in_progress")
    assert (again.status, stand.payloads) == (201, 1)


async def test_cancel(stand: Stand) -> None:
    """What nobody opened is withdrawn, its outcome to follow; what somebody opened is not, and the caller hears why."""
    one, two = [await made(stand) for _ in range(2)]
    stand.sandbox.open(two["id"])
    answers = [await stand.call("DELETE", f"{PATH}/{one['id']}") for _ in range(2)]
    opened = await stand.call("DELETE", f"{PATH}/{two['id']}")
    told = (await stand.call("GET", one["status_url"])).json

    assert [each.json["reason"] for each in answers] == ["OK", "ALREADY_CANCELLED"]
    assert (opened.status, opened.json["reason"]) == (409, "already_opened")
    assert (told["reported"], told["outcome"]) == (["created", "cancelled"], None)


async def test_pages(stand: Stand) -> None:
    """A list comes page by page, each request once, the newest first."""
    ids = [(await made(stand))["id"] for _ in range(5)][::-1]
    first = (await stand.call("GET", f"{PATH}?limit=3")).json
    second = (await stand.call("GET", f"{PATH}?limit=3&before={first['next']}")).json

    assert [each["id"] for each in first["items"] + second["items"]] == ids
    assert second["next"] is None
    assert (await stand.call("GET", f"{PATH}?before=x")).json["reason"] == "cursor_invalid"


async def test_push(stand: Stand) -> None:
    """After a sign-in the user's next request is pushed; a token that Xumm calls dead is not used any more."""
    _, token = await stand.sign_in(account=ALICE)
    pushed = await made(stand, token)
    assert pushed["delivery"] == "push"

    stand.sandbox.tokens._tokens.clear()
    delivered = [(await made(stand, token))["delivery"] for _ in range(2)]
    (facts,) = await stand.processor.writer.run(user_tokens.list_latest, "shop", 9)

    assert delivered == ["link", "link"]
    assert facts.revoked_at is not None


async def test_tokens_are_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """A user token stands in no file, event, answer and log line."""
    async with standing(tmp_path) as stand:
        begun, token = await stand.sign_in(account=ALICE)
        pushed = await made(stand, token)
        signature = stand.sandbox.payloads.get(begun["id"]).signature
        assert signature is not None
        canary = signature.user_token.token
        stream = await stand.call("GET", begun["status_url"], bearer=begun["exchange_secret"])
        told = json.dumps([begun, pushed, stream.json])
    files = await asyncio.to_thread(lambda: b"".join(path.read_bytes() for path in tmp_path.iterdir()))
    out, err = capfd.readouterr()

    assert pushed["delivery"] == "push"
    assert canary.encode() not in files
    assert token.encode() not in files
    assert begun["exchange_secret"].encode() not in files
    assert canary not in told + caplog.text + out + err
    assert token not in caplog.text + out + err


async def test_without_keys_no_token_is_kept(tmp_path: Path) -> None:
    """Then nothing is pushed, and the answers say that tokens are not kept."""
    async with standing(tmp_path, token_keys=[]) as stand:
        _, token = await stand.sign_in(account=ALICE)
        order = await made(stand, token)

        assert (order["delivery"], order["tokens_kept"]) == ("link", False)


async def test_return(stand: Stand) -> None:
    """Who comes back is told what is known, once, whatever else the address claims."""
    order = await made(stand, return_url={"app": RETURN, "web": WEB_RETURN})
    request = stand.sandbox.payloads.get(order["id"]).request
    url = request.return_url_app
    assert url is not None
    query = url.removeprefix(f"{RETURN}?").replace("{id}", FOREIGN).replace("{txid}", "A" * 64)
    first, second = [await stand.call("GET", f"/v1/return?{query}&outcome=validated", bearer=None) for _ in range(2)]

    assert url.startswith(f"{RETURN}?state=")
    assert url.endswith("&id={id}&cid={cid}&txid={txid}")
    assert (first.status, first.json["id"], first.json["outcome"], first.json["txid"]) == (200, order["id"], None, None)
    assert (second.status, second.json["reason"]) == (404, "not_found")


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com.evil.com/signed",
        "https://app.example.com@evil.com/signed",
        "https://app.example.com/signed/",
        "https://APP.example.com/signed",
        "https://app.example.com/signed?x=1",
        "https://app.example.com/signed#x",
        "//app.example.com/signed",
        "javascript:alert(1)",
        "shopapp:signed",
        "shopapp://signed/../x",
        " shopapp://signed",
        "shopapp://signed\n",
        "x" * 512,
        "",
    ],
)
async def test_foreign_return_urls(stand: Stand, url: str) -> None:
    """Only what is registered, character by character, is a way back."""
    answers = [
        await stand.call("POST", PATH, PAYMENT | {"return_url": {"web": url}}),
        await stand.call("POST", "/v1/sign-in", {"app": "shop", "return_url": {"app": url}}, bearer=None),
    ]

    assert [(each.status, each.json["reason"]) for each in answers] == [(422, "return_url_forbidden")] * 2
    assert stand.payloads == 0


async def test_other_users_see_nothing(stand: Stand) -> None:
    """Another user, another application's key and nobody get the same answer as for what does not exist."""
    _, alice = await stand.sign_in(account=ALICE)
    _, bob = await stand.sign_in(account=BOB)
    order = await made(stand, alice)
    bodies = set()
    for method, path in [("GET", ""), ("DELETE", ""), ("GET", "/events")]:
        for bearer in (bob, "stranger's key"):
            for named in (order["id"], FOREIGN, "nonsense", order["id"].upper()):
                answer = await stand.call(method, f"{PATH}/{named}{path}", bearer=bearer)
                assert answer.status == 404
                bodies.add(json.dumps(answer.json))
    own = await stand.call("GET", PATH, bearer=alice)

    assert len(bodies) == 1
    assert [each["id"] for each in own.json["items"]] == [order["id"]]
    assert (await stand.call("GET", PATH, bearer=bob)).json["items"] == []
    assert (await stand.call("GET", f"{PATH}/{order['id']}", bearer="reader's key")).status == 200


@pytest.mark.parametrize(
    ("changes", "bearer", "reason"),
    [
        ({}, None, "key_missing"),
        ({}, "nonsense", "key_invalid"),
        ({}, "xws_nonsense", "key_invalid"),
        ({}, "x" * 5000, "key_invalid"),
        ({}, "reader's key", "scope_missing"),
        ({}, "stranger's key", "application_forbidden"),
        ({"app": "nobody"}, "backend's key", "application_forbidden"),
        ({"submit": None}, "backend's key", "body_invalid"),
        ({"submit": "true"}, "backend's key", "body_invalid"),
        ({"identifier": "x" * 41}, "backend's key", "body_invalid"),
        ({"identifier": "a/b"}, "backend's key", "body_invalid"),
        ({"instruction": "\u202e"}, "backend's key", "body_invalid"),
        ({"instruction": "x" * 281}, "backend's key", "body_invalid"),
        ({"expire": 0}, "backend's key", "body_invalid"),
        ({"expire": 5.5}, "backend's key", "body_invalid"),
        ({"more": 1}, "backend's key", "body_invalid"),
        ({"instruction": "🙂" * 141}, "backend's key", "template_invalid"),
        ({"force_network": "TESTNET"}, "backend's key", "template_invalid"),
        ({"txjson": {}}, "backend's key", "template_invalid"),
        ({"txjson": {"TransactionType": "SignIn", "a": {"Seed": "s"}}}, "backend's key", "template_invalid"),
        ({"blob": {"private_key": 1}}, "backend's key", "template_invalid"),
        ({"blob": {"big": 2**70}}, "backend's key", "template_invalid"),
    ],
)
async def test_refusals(stand: Stand, changes: dict[str, Any], bearer: str | None, reason: str) -> None:
    """Each is a problem with its reason, and Xumm hears nothing of it."""
    answer = await stand.call("POST", PATH, PAYMENT | changes, bearer=bearer)

    assert (answer.json["reason"], stand.payloads) == (reason, 0)
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.headers["Cache-Control"] == "no-store"


async def test_missing_submit_is_named(stand: Stand) -> None:
    """What is wrong is told by field, without values."""
    answer = await stand.call("POST", PATH, {name: value for name, value in PAYMENT.items() if name != "submit"})

    assert answer.json["errors"] == [{"field": "submit", "reason": "missing"}]


@pytest.mark.parametrize("key", ["", "x" * 256, "ä"])
async def test_bad_idempotency_keys(stand: Stand, key: str) -> None:
    """A key is visible ASCII of at most 255 characters."""
    answer = await stand.call("POST", PATH, PAYMENT, Idempotency_Key=key)

    assert answer.json["reason"] == "idempotency_key_invalid"


async def test_users_ask_for_themselves_in_their_application(stand: Stand) -> None:
    """A session is worth nothing for another application, or in another user's name."""
    _, token = await stand.sign_in(account=ALICE)
    other = await stand.call("POST", PATH, PAYMENT | {"app": "other"}, bearer=token)
    named = await stand.call("POST", PATH, PAYMENT | {"account": BOB}, bearer=token)

    assert (other.status, other.json["reason"]) == (403, "application_forbidden")
    assert named.json["errors"] == [{"field": "account", "reason": "not_the_users"}]


async def test_limits(tmp_path: Path) -> None:
    """Who asks too often is told when to come back."""
    async with standing(tmp_path, api={"service_calls_per_minute": 2, "requests_per_minute": 10}) as stand:
        answers = [await stand.call("GET", PATH) for _ in range(3)]

        assert [each.status for each in answers] == [200, 200, 429]
        assert 1 <= int(answers[2].headers["Retry-After"]) <= 30
    async with standing(tmp_path, api={"service_calls_per_minute": 10, "requests_per_minute": 1}) as stand:
        assert [(await stand.call("POST", PATH, PAYMENT)).status for _ in range(2)] == [201, 429]


async def test_pages_of_other_origins(tmp_path: Path) -> None:
    """Browsers let no page call, unless its origin is listed, exactly."""
    async with standing(tmp_path, api={"allowed_origins": ["https://shop.example"]}) as stand:
        allowed = await stand.call("OPTIONS", PATH, Origin="https://shop.example")
        denied = await stand.call("OPTIONS", PATH, Origin="https://shop.example.evil")

    assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"]) == (204, "https://shop.example")
    assert denied.status == 405
    assert "Access-Control-Allow-Origin" not in denied.headers


async def test_methods(stand: Stand) -> None:
    """What a path does not do is answered with what it does."""
    answer = await stand.call("PUT", PATH, PAYMENT)

    assert (answer.status, answer.headers["Allow"]) == (405, "POST, GET")


async def test_whose_links_these_are(stand: Stand) -> None:
    """Apple and Google find the applications' apps where they look for them."""
    apple = await stand.call("GET", "/.well-known/apple-app-site-association", bearer=None)
    android = await stand.call("GET", "/.well-known/assetlinks.json", bearer=None)

    assert apple.json["applinks"]["details"] == [
        {"appIDs": ["ABCDE12345.com.example.shop"], "components": [{"/": "/signed"}]}
    ]
    assert android.json[0]["target"]["package_name"] == "com.example.shop"


async def test_sign_ins_leave_streams_to_others(tmp_path: Path) -> None:
    """Whoever follows sign-ins of nobody keeps no service from following its payment."""
    async with standing(tmp_path, max_connections=4) as stand:
        begun = [(await stand.call("POST", "/v1/sign-in", {"app": "shop"}, bearer=None)).json for _ in range(2)]
        order = await made(stand)
        live = [asyncio.create_task(events(stand, begun[0]["events_url"], begun[0]["exchange_secret"]))]
        await until(lambda: stand.processor.streams._open)
        refused = await stand.call("GET", begun[1]["events_url"], bearer=begun[1]["exchange_secret"])
        live.append(asyncio.create_task(events(stand, order["events_url"], "backend's key")))
        await until(lambda: len(stand.processor.streams._open) == 2)
        stand.sandbox.reject(begun[0]["id"])
        stand.sandbox.reject(order["id"])
        await asyncio.gather(*live)

    assert (refused.status, refused.json["reason"]) == (429, "too_many_streams")


async def test_link_with_one_slash(tmp_path: Path) -> None:
    """A way back as RFC 8252, section 7.1, writes it: after signing, and after signing in through the provider."""
    link = "com.example.app:/oauth2redirect"
    shop = {"return_urls": [link], "deep_links": [link]}
    async with standing(tmp_path, shop=shop, public_url="https://service.example") as stand:
        order = await made(stand, return_url={"app": link})
        query = {"app": "shop", "return": link, "code_challenge": "A" * 43}
        async with stand.session.get(
            f"{stand.processor.url}/v1/oauth2/start", params=query, allow_redirects=False
        ) as started:
            status = started.status

    back = stand.sandbox.payloads.get(order["id"]).request.return_url_app
    assert (303, True) == (status, str(back).startswith(f"{link}?state="))


def test_page_that_leads_to_a_link_with_one_slash() -> None:
    """It goes there as it does to any scheme of an app's own."""
    page = return_to_app("com.example.app:/oauth2redirect?code=x", signed_in=True)

    assert (200, "0; url=com.example.app:/oauth2redirect?code=x") == (page.status, page.headers["Refresh"])
