"""Signing in with the sandbox's provider, with the time in the test's hand."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from yarl import URL

from processor.api.sign_in.identity_tokens import IdentityVerifier
from processor.api.sign_in.oauth2_flow import OAuth2Flow
from processor.core.access.oauth2 import Client, ClientSecret
from processor.core.access.ticket import NONCE_BYTES, seal, unseal
from processor.core.payload.ids import user_reference
from processor.sandbox.faults import Faults
from processor.sandbox.server import Sandbox
from processor.sandbox.wallet import ALICE
from processor.web.client import Connections
from processor.web.problem import Problem
from processor.xumm.provider_keys import KeyCache
from tests.sandbox.clock import FakeClock
from tests.support.signing_in import (
    APP_LINK,
    BAR,
    CALLBACK,
    SHOP,
    WEB_LINK,
    Pair,
    SessionsInMemory,
    UsedOnceInMemory,
    approved,
    declined,
)

CHALLENGE = "x" * 43
OLD_SECRET = "99999999-90ab-4cde-8f01-234567890abc"


@dataclass(slots=True, kw_only=True)
class Stand:
    """The service's half, and the sandbox as the other."""

    sign_ins: OAuth2Flow
    sandbox: Sandbox
    clock: FakeClock
    sessions: SessionsInMemory
    clients: dict[str, Client]

    def start(self, pair: Pair, link: str = APP_LINK, app: str = "shop") -> str:
        return self.sign_ins.start(app, link, pair.challenge)

    async def finish(self, answer: dict[str, str]) -> dict[str, str]:
        """What the app's deep link is opened with."""
        link = await self.sign_ins.finish(answer["state"], code=answer.get("code"), error=answer.get("error"))
        assert link.startswith((APP_LINK + "?", WEB_LINK + "&"))
        return dict(URL(link).query)


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    clock, sessions = FakeClock(), SessionsInMemory()
    async with (
        Sandbox([SHOP, BAR], clock=clock, sleep=clock.sleep) as sandbox,
        Connections(timeout=timedelta(seconds=5)) as connections,
    ):
        clients = {
            name: Client(
                app=name,
                api_key=application.key,
                secrets=(ClientSecret(text=application.secret),),
                network="MAINNET",
                provider=sandbox.base_url,
                deep_links=frozenset({APP_LINK, WEB_LINK}) if name == "shop" else frozenset({"bar://signin"}),
            )
            for name, application in (("shop", SHOP), ("bar", BAR))
        }
        certs = URL(f"{sandbox.base_url}/certs")
        async with KeyCache(certs, connections, ttl=timedelta(hours=1), time=lambda: clock().timestamp()) as keys:
            sign_ins = OAuth2Flow(
                clients=clients,
                redirect_uri=CALLBACK,
                verifier=IdentityVerifier({sandbox.base_url: keys}, clock=clock),
                provider=connections,
                sessions=sessions,
                spent=UsedOnceInMemory(clock=clock),
                clock=clock,
                session_ttl=timedelta(hours=24),
            )
            yield Stand(sign_ins=sign_ins, sandbox=sandbox, clock=clock, sessions=sessions, clients=clients)


@pytest.mark.parametrize("link", [APP_LINK, WEB_LINK])
async def test_user_signs_in(stand: Stand, link: str) -> None:
    """From the app through the provider back to the app, which swaps its code for a session."""
    pair = Pair()
    back = await stand.finish(approved(stand.sandbox, stand.start(pair, link)))
    session = await stand.sign_ins.redeem(back["code"], pair.verifier)

    user_token = stand.sandbox.tokens.renew(SHOP.key, ALICE.address).token
    kept = ("shop", ALICE.address, user_reference(SHOP.key, user_token), timedelta(hours=24))
    assert stand.sessions.held == {session.access_token: kept}
    assert (session.app, session.account) == ("shop", ALICE.address)


async def test_request_to_the_provider_is_complete(stand: Stand) -> None:
    """Standard, with nothing of the app's own pair and nothing secret in it."""
    pair = Pair()
    query = dict(URL(stand.start(pair)).query)

    assert set(query) == {
        "client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge",
        "code_challenge_method",
    }  # fmt: skip
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    assert pair.challenge not in str(query)
    assert SHOP.secret not in str(query)
    assert URL(stand.start(pair)).query["nonce"] != query["nonce"]


def refusal(caught: pytest.ExceptionInfo[Problem]) -> str:
    return caught.value.reason


@pytest.mark.parametrize(
    ("app", "link", "challenge", "why"),
    [
        ("nobody", APP_LINK, CHALLENGE, "application_forbidden"),
        ("", APP_LINK, CHALLENGE, "application_forbidden"),
        ("bar", APP_LINK, CHALLENGE, "return_forbidden"),
        ("shop", "bar://signin", CHALLENGE, "return_forbidden"),
        ("shop", APP_LINK + "/", CHALLENGE, "return_forbidden"),
        ("shop", APP_LINK, "", "challenge_invalid"),
        ("shop", APP_LINK, "x" * 42, "challenge_invalid"),
        ("shop", APP_LINK, "x" * 44, "challenge_invalid"),
        ("shop", APP_LINK, "x" * 42 + "=", "challenge_invalid"),
        ("shop", APP_LINK, "x" * 43 + "\n", "challenge_invalid"),
    ],
)
async def test_start_is_refused(stand: Stand, app: str, link: str, challenge: str, why: str) -> None:
    """Without an application, a way back that it registered, and a challenge there is nothing to begin."""
    with pytest.raises(Problem) as caught:
        stand.sign_ins.start(app, link, challenge)

    assert refusal(caught) == why


async def test_state_counts_once(stand: Stand) -> None:
    """Whoever replays it, with the same code or with one of their own, gets nowhere."""
    url = stand.start(Pair())
    answers = [approved(stand.sandbox, url), approved(stand.sandbox, url)]
    await stand.finish(answers[0])

    for answer in answers:
        with pytest.raises(Problem) as caught:
            await stand.finish(answer)
        assert refusal(caught) == "state_invalid"


async def test_state_has_ten_minutes(stand: Stand) -> None:
    """Afterwards there is nothing to go on with; before, there is."""
    answers = [approved(stand.sandbox, stand.start(Pair())) for _ in range(2)]
    stand.clock.advance(seconds=599)
    assert "code" in await stand.finish(answers[0])
    stand.clock.advance(seconds=1)
    with pytest.raises(Problem) as caught:
        await stand.finish(answers[1])

    assert refusal(caught) == "state_invalid"


async def test_state_of_another_application_is_refused(stand: Stand) -> None:
    """It is sealed with the application's own secret, and says whose it is."""
    state = approved(stand.sandbox, stand.start(Pair()))["state"]
    code = approved(stand.sandbox, stand.start(Pair(), "bar://signin", "bar"))["code"]
    renamed = "bar." + state.partition(".")[2]

    with pytest.raises(Problem) as caught:
        await stand.finish({"state": renamed, "code": code})
    assert refusal(caught) == "state_invalid"
    assert await stand.finish({"state": state, "code": code}) == {"error": "access_denied"}


@pytest.mark.parametrize(
    "state", ["", "shop", "shop.", "shop.AAAA", "shop." + "A" * 500, "shop." + "A" * 3000, "x.y.z"]
)
async def test_state_that_is_none_of_ours_is_refused(stand: Stand, state: str) -> None:
    """It leads nowhere: not even an error goes anywhere."""
    with pytest.raises(Problem) as caught:
        await stand.finish({"state": state, "error": "access_denied"})

    assert refusal(caught) == "state_invalid"


async def test_ticket_of_one_purpose_is_none_of_another(stand: Stand) -> None:
    """A state is no code, and a code is no state."""
    pair = Pair()
    answer = approved(stand.sandbox, stand.start(pair))
    with pytest.raises(Problem):
        await stand.sign_ins.redeem(answer["state"], pair.verifier)
    code = (await stand.finish(answer))["code"]
    with pytest.raises(Problem):
        await stand.finish({"state": code, "code": "x"})

    assert (await stand.sign_ins.redeem(code, pair.verifier)).account == ALICE.address


async def test_link_that_is_allowed_no_more_is_left_alone(stand: Stand) -> None:
    """The list counts when the user comes back, too."""
    answer = approved(stand.sandbox, stand.start(Pair()))
    stand.clients["shop"] = replace(stand.clients["shop"], deep_links=frozenset({WEB_LINK}))

    with pytest.raises(Problem):
        await stand.finish(answer)


async def test_sign_in_survives_a_new_secret(stand: Stand) -> None:
    """What was sealed with the old one opens for as long as that counts."""
    answers = [approved(stand.sandbox, stand.start(Pair())) for _ in range(2)]
    new = ClientSecret(text=OLD_SECRET)
    old = ClientSecret(text=SHOP.secret, not_after=stand.clock() + timedelta(minutes=5))
    stand.clients["shop"] = replace(stand.clients["shop"], secrets=(new, old))
    assert await stand.finish({"state": answers[0]["state"], "error": "access_denied"}) == {"error": "access_denied"}
    stand.clock.advance(minutes=5)

    with pytest.raises(Problem):
        await stand.finish(answers[1])


@pytest.mark.parametrize("guess", ["", "x" * 42, "x" * 43, "x" * 129, "{challenge}", "ü" * 43, "{verifier}\n"])
async def test_code_needs_its_verifier(stand: Stand, guess: str) -> None:
    """Who caught the code on its way cannot use it, and then nobody can."""
    pair = Pair()
    code = (await stand.finish(approved(stand.sandbox, stand.start(pair))))["code"]
    for verifier in (guess.format(challenge=pair.challenge, verifier=pair.verifier), pair.verifier):
        with pytest.raises(Problem) as caught:
            await stand.sign_ins.redeem(code, verifier)
        assert refusal(caught) == "code_invalid"

    assert stand.sessions.held == {}


async def test_code_counts_once_and_for_a_minute(stand: Stand) -> None:
    """One session, and none for who is late."""
    first, second = Pair(), Pair()
    codes = [(await stand.finish(approved(stand.sandbox, stand.start(pair))))["code"] for pair in (first, second)]
    await stand.sign_ins.redeem(codes[0], first.verifier)
    with pytest.raises(Problem):
        await stand.sign_ins.redeem(codes[0], first.verifier)
    stand.clock.advance(seconds=60)
    with pytest.raises(Problem):
        await stand.sign_ins.redeem(codes[1], second.verifier)

    assert len(stand.sessions.held) == 1


async def test_code_of_the_provider_counts_once(stand: Stand) -> None:
    """The provider's code, brought again with a fresh state, is refused by the provider."""
    answer = approved(stand.sandbox, stand.start(Pair()))
    await stand.finish(answer)
    fresh = approved(stand.sandbox, stand.start(Pair()))

    assert await stand.finish(fresh | {"code": answer["code"]}) == {"error": "access_denied"}


async def test_code_of_another_sign_in_is_of_no_use(stand: Stand) -> None:
    """It was asked for with another verifier: an attacker's code in a victim's browser signs nobody in."""
    attackers = approved(stand.sandbox, stand.start(Pair()))
    victims = approved(stand.sandbox, stand.start(Pair()))

    assert await stand.finish(victims | {"code": attackers["code"]}) == {"error": "access_denied"}


async def test_provider_must_keep_to_our_challenge(stand: Stand) -> None:
    """A code that was asked for without it, or with another, is not swapped."""
    for changes in ({"code_challenge": Pair().challenge},):
        answer = approved(stand.sandbox, stand.start(Pair()), **changes)
        assert await stand.finish(answer) == {"error": "access_denied"}


async def test_nonce_must_be_ours(stand: Stand) -> None:
    """A token that was made for another sign-in is none for this one."""
    with capture_logs() as lines:
        answer = approved(stand.sandbox, stand.start(Pair()), nonce="another")
        assert await stand.finish(answer) == {"error": "access_denied"}
    stand.sandbox.faults.set(Faults(oauth2="nonce"))
    assert await stand.finish(approved(stand.sandbox, stand.start(Pair()))) == {"error": "access_denied"}

    assert [line["reason"] for line in lines if line["event"] == "identity.refused"] == ["nonce"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("failing", "temporarily_unavailable"),
        ("garbage", "access_denied"),
        ("expired", "access_denied"),
    ],
)
async def test_app_hears_of_a_provider_that_fails(stand: Stand, fault: Any, error: str) -> None:
    """By its deep link, in the words of the standard."""
    answer = approved(stand.sandbox, stand.start(Pair()))
    stand.sandbox.faults.set(Faults(oauth2=fault))
    if fault == "expired":
        answer = approved(stand.sandbox, stand.start(Pair()))

    assert await stand.finish(answer) == {"error": error}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"error": "access_denied"}, "access_denied"),
        ({"error": "temporarily_unavailable"}, "temporarily_unavailable"),
        ({"error": "unauthorized_client"}, "server_error"),
        ({"error": "<script>alert(1)</script>"}, "server_error"),
        ({}, "invalid_request"),
        ({"code": ""}, "invalid_request"),
        ({"code": "x" * 1025}, "invalid_request"),
        ({"code": "a b"}, "invalid_request"),
        ({"code": "a\r\nb"}, "invalid_request"),
        ({"code": "é"}, "invalid_request"),
        ({"error": "access_denied", "code": "x"}, "access_denied"),
    ],
)
async def test_errors_come_back_in_known_words(stand: Stand, answer: dict[str, str], error: str) -> None:
    """Nothing that somebody else wrote is passed on."""
    state = URL(stand.start(Pair())).query["state"]

    assert await stand.finish({"state": state} | answer) == {"error": error}


async def test_user_may_decline(stand: Stand) -> None:
    """And the app hears of it."""
    assert await stand.finish(declined(stand.sandbox, stand.start(Pair()))) == {"error": "access_denied"}


async def test_new_key_of_the_provider_is_taken(stand: Stand) -> None:
    """The first token that no known key fits makes the keys read anew."""
    await stand.finish(approved(stand.sandbox, stand.start(Pair())))
    stand.sandbox.identity.rotate()
    stand.clock.advance(minutes=1)

    assert "code" in await stand.finish(approved(stand.sandbox, stand.start(Pair())))


async def test_logs_bear_no_secret(stand: Stand) -> None:
    """Neither tokens nor codes, states, nonces or verifiers, whatever happens."""
    pair = Pair()
    with capture_logs() as lines:
        url = stand.start(pair)
        answer = approved(stand.sandbox, url)
        back = await stand.finish(answer)
        session = await stand.sign_ins.redeem(back["code"], pair.verifier)
        await stand.finish(declined(stand.sandbox, stand.start(Pair())))
        stand.sandbox.faults.set(Faults(oauth2="failing"))
        last = approved(stand.sandbox, stand.start(Pair()))
        await stand.finish(last)

    canaries = [
        *answer.values(),
        *last.values(),
        URL(url).query["nonce"],
        back["code"],
        session.access_token,
        pair.verifier,
        SHOP.secret,
    ]
    assert {"sign_in.granted", "sign_in.failed", "sign_in.token_refused"} <= {line["event"] for line in lines}
    assert [canary for canary in canaries if canary in str(lines)] == []
    assert session.access_token not in repr(session)


def test_every_bit_of_a_ticket_counts() -> None:
    """A changed one opens for nobody, nor does one that was cut."""
    ticket = seal("shop", "code", b"secret", {"a": 1}, bytes(NONCE_BYTES))
    changed = [ticket[:at] + ("A" if ticket[at] != "A" else "B") + ticket[at + 1 :] for at in range(5, len(ticket) - 1)]

    assert unseal(ticket, "shop", "code", [b"other", b"secret"]) == {"a": 1}
    for wrong in (*changed, ticket[:-4], ticket[:9], ticket + "A"):
        assert unseal(wrong, "shop", "code", [b"secret"]) is None
    assert unseal(ticket, "shop", "state", [b"secret"]) is None
    assert unseal(ticket, "bar", "code", [b"secret"]) is None
    assert unseal("bar" + ticket.removeprefix("shop"), "bar", "code", [b"secret"]) is None
    assert unseal(ticket, "shop", "code", [b"other"]) is None
