"""Sign requests are created once, whatever breaks off, on the real store and an API of Xumm's in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from processor.api.sign_requests.creation import HOLD, UNSURE, CreatedPayload, NewSignRequest, SignRequests
from processor.api.sign_requests.user_tokens import UserTokens
from processor.core.access.service_key import digest_of
from processor.core.application import Application
from processor.core.errors import Denied, LookupFailed, NotFound, StoreError, StoreUnavailable, Unavailable
from processor.core.payload.entry import Commit, Reported
from processor.core.reports.report import RequestReport
from processor.core.sign_request.order import Order
from processor.core.sign_request.request import StoredRequest
from processor.store.adapters import StoredSignRequests, StoredUserTokens
from processor.store.writer import Writer
from processor.web.problem import Problem
from tests.api.sign_requests.xumm import KEYRING, Kept, XummInMemory
from tests.contract.test_store_user_tokens import TOKEN, signed
from tests.sandbox.clock import FakeClock
from tests.store.samples import ACCOUNT, APP, APPLICATION, payload, webhook

RETURN = "shopapp://signed"
STRANGE = payload(999)
ASKED = Order(
    app=APP,
    template={"TransactionType": "Payment", "Destination": ACCOUNT, "Amount": "1000000"},
    submit=True,
    expire=timedelta(minutes=5),
    network="MAINNET",
    identifier="order-1",
    instruction="Your order",
    blob={"order": 1},
    return_urls={"app": RETURN},
)
NEW = NewSignRequest(order=ASKED, owner="service:backend", idempotency_key="key")
UNTOUCHED = Unavailable("refused the connection", untouched=True)
SILENT = Unavailable("did not answer")


class Answer(BaseModel):
    """The least that an answer has."""

    id: str
    identifier: str
    expires_at: datetime
    tokens_kept: bool
    pushed: bool


def describe(made: CreatedPayload) -> Answer:
    created = made.created
    return Answer(
        id=created.uuid,
        identifier=made.identifier,
        expires_at=made.expires_at,
        tokens_kept=made.tokens_kept,
        pushed=created.pushed,
    )


@dataclass(slots=True, kw_only=True)
class Service:
    """Sign requests over their store and API, and how often a payload was to be watched."""

    requests: SignRequests
    store: StoredSignRequests
    writer: Writer
    xumm: XummInMemory
    clock: FakeClock
    watched: list[str] = field(default_factory=list)

    async def create(self, new: NewSignRequest = NEW) -> tuple[Answer, bool]:
        body, created = await self.requests.create(new, describe)
        return Answer.model_validate_json(body), created

    async def refusal(self, new: NewSignRequest = NEW) -> Problem:
        with pytest.raises(Problem) as caught:
            await self.create(new)
        return caught.value

    async def stored(self, answer: Answer) -> StoredRequest:
        found = await self.store.find(answer.id)
        assert found is not None
        return found

    async def events(self, answer: Answer) -> list[str]:
        return [each.message.type for each in await self.store.load_events(APP, answer.id, 0, 10)]

    def state(self) -> str:
        """The state in the return URL of the last payload."""
        url = [*self.xumm.payloads.values()][-1].body["options"]["return_url"]["app"]
        return str(url.partition("state=")[2].partition("&")[0])


def report_names(commit: Commit) -> list[str]:
    """The payloads that a commit says were created."""
    reports = [entry.report for entry, _ in commit.recorded if isinstance(entry, Reported)]
    return [report.payload for report in reports if isinstance(report, RequestReport)]


def build(writer: Writer, xumm: XummInMemory, clock: FakeClock, wrap: Callable[[Any], Any]) -> Service:
    watched: list[str] = []
    writer.commits.subscribe(lambda commit: watched.extend(report_names(commit)))
    store = StoredSignRequests(writer, clock=clock)
    tokens = StoredUserTokens(writer, KEYRING, clock=clock)
    requests = SignRequests(
        applications={APP: Application(name=APP, uuid=APPLICATION, secrets=())},
        apis={APP: xumm},
        store=wrap(store),
        recorder=wrap(writer),
        tokens=UserTokens(store=tokens, apis={APP: xumm}, kept=True, clock=clock),
        links="https://xumm.app",
        clock=clock,
    )
    return Service(requests=requests, store=store, writer=writer, xumm=xumm, clock=clock, watched=watched)


@pytest.fixture
def service(writer: Writer, xumm: XummInMemory, clock: FakeClock) -> Service:
    return build(writer, xumm, clock, lambda store: store)


async def test_payload_is_created_as_asked(service: Service) -> None:
    """Xumm gets the template with its options, and the caller what Xumm made of it."""
    answer, created = await service.create()
    body = service.xumm.payloads["order-1"].body

    assert created
    assert answer.model_dump() == {
        "id": service.xumm.payloads["order-1"].uuid,
        "identifier": "order-1",
        "expires_at": service.clock() + ASKED.expire,
        "tokens_kept": True,
        "pushed": False,
    }
    assert body["txjson"] == ASKED.template
    assert (body["options"]["submit"], body["options"]["expire"]) == (True, 5)
    assert body["custom_meta"] == {"identifier": "order-1", "instruction": "Your order", "blob": {"order": 1}}
    assert "user_token" not in body


async def test_payload_is_followed_from_the_start(service: Service) -> None:
    """It is reported as created, watched, and known by its return URL's state."""
    with capture_logs() as lines:
        answer, _ = await service.create()
    returned = await service.store.take_state(digest_of(service.state()))

    assert await service.events(answer) == ["xumm.sign.created"]
    assert (len(service.watched), returned) == (1, await service.stored(answer))
    assert [line["event"] for line in lines] == ["request.created"]


async def test_request_without_return_urls_has_no_state(service: Service) -> None:
    """Then Xumm is told of none."""
    await service.create(replace(NEW, order=replace(ASKED, return_urls={})))

    assert "return_url" not in service.xumm.payloads["order-1"].body["options"]


@pytest.mark.parametrize(
    ("owner", "rank"), [("service:backend", "service"), (f"user:{ACCOUNT}", "user"), ("sign-in", "stranger")]
)
async def test_calls_wait_by_rank(service: Service, owner: str, rank: str) -> None:
    """Whoever may ask for the most is served first by Xumm's budget."""
    await service.create(replace(NEW, owner=owner))

    assert service.xumm.ranks == [rank]


async def test_request_without_an_identifier_gets_one(service: Service) -> None:
    """One for each, by which the payload can be found again."""
    unnamed = replace(NEW, order=replace(ASKED, identifier=None), idempotency_key=None)
    answers = [(await service.create(unnamed))[0] for _ in range(2)]

    assert [each.identifier for each in answers] == [*service.xumm.payloads]


async def test_repetition_gets_the_first_answer(service: Service) -> None:
    """The same request under the same key makes one payload."""
    first, second = await service.create(), await service.create()

    assert second == (first[0], False)
    assert service.xumm.calls == ["create"]


async def test_key_stands_for_one_request(service: Service) -> None:
    """Another request under the key is refused, and another caller's key is another key."""
    await service.create()
    other = replace(NEW, order=replace(ASKED, submit=False))
    stranger = replace(NEW, owner="service:other", order=replace(ASKED, identifier="order-2"))

    assert (await service.refusal(other)).reason == "idempotency_key_reused"
    assert (await service.create(stranger))[1]


async def test_identifier_names_one_request(service: Service) -> None:
    """A second request with it is refused before Xumm is asked, and the field is named."""
    await service.create()
    problem = await service.refusal(replace(NEW, idempotency_key="another"))

    assert (problem.reason, problem.errors) == ("identifier_taken", (("identifier", "taken"),))
    assert service.xumm.calls == ["create"]


async def test_answer_that_got_lost_is_looked_up(service: Service) -> None:
    """If Xumm made the payload but did not answer, it is found by its identifier."""
    service.xumm.fail("create", SILENT, after=True)
    answer, created = await service.create()

    assert (created, answer.id) == (True, service.xumm.payloads["order-1"].uuid)
    assert service.xumm.calls == ["create", "fetch_by_identifier"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UNTOUCHED, "xumm_unavailable"),
        (Denied("602"), "xumm_refused"),
        (NotFound("404"), "xumm_refused"),
    ],
)
async def test_request_that_xumm_did_not_take_is_free_again(service: Service, error: LookupFailed, reason: str) -> None:
    """What certainly made no payload can be repeated at once."""
    service.xumm.fail("create", error)
    problem = await service.refusal()

    assert problem.reason == reason
    assert (await service.create())[1]
    assert service.xumm.calls == ["create", "create"]


async def test_request_that_xumm_may_have_taken_is_held(service: Service) -> None:
    """Nobody knows whether there is a payload: for half a minute the repetition has to wait."""
    service.xumm.fail("create", SILENT)
    failed = await service.refusal()
    held = await service.refusal()
    service.clock.advance(seconds=UNSURE.total_seconds())

    assert (failed.reason, held.reason) == ("xumm_unavailable", "idempotency_in_progress")
    assert held.headers == {"Retry-After": "5"}
    assert (await service.create())[1]
    assert len(service.xumm.payloads) == 1


async def test_payload_of_an_earlier_attempt_is_adopted(service: Service) -> None:
    """It was made, but neither the answer nor the look arrived: the repetition finds it and makes no second."""
    service.xumm.fail("create", SILENT, after=True)
    service.xumm.fail("fetch_by_identifier", SILENT)
    await service.refusal()
    service.clock.advance(seconds=UNSURE.total_seconds())
    with capture_logs() as lines:
        answer, created = await service.create()

    assert (created, answer.id, len(service.xumm.payloads)) == (True, service.xumm.payloads["order-1"].uuid, 1)
    assert [line["event"] for line in lines] == ["request.recovered", "request.created"]
    assert await service.events(answer) == ["xumm.sign.created"]
    assert await service.store.take_state(digest_of(service.state())) is not None


async def test_payload_that_was_never_made_gets_another_state(service: Service) -> None:
    """The repetition looks first, then makes it; its return URL's state is the one that counts."""
    service.xumm.fail("create", SILENT)
    await service.refusal()
    service.clock.advance(seconds=UNSURE.total_seconds())
    answer, _ = await service.create()

    assert service.xumm.calls == ["create", "fetch_by_identifier", "fetch_by_identifier", "create"]
    assert await service.store.take_state(digest_of(service.state())) == await service.stored(answer)


async def test_takeover_that_cannot_look_makes_nothing(service: Service) -> None:
    """Where Xumm does not say whether there is a payload, none is made; and the next attempt need not wait."""
    service.xumm.fail("create", SILENT)
    await service.refusal()
    service.clock.advance(seconds=UNSURE.total_seconds())
    service.xumm.fail("fetch_by_identifier", SILENT)

    assert (await service.refusal()).reason == "xumm_unavailable"
    assert service.xumm.payloads == {}
    assert (await service.create())[1]


async def test_payload_of_somebody_else_is_not_adopted(service: Service) -> None:
    """One that is older than the request has the identifier already, and leaves the key free."""
    service.xumm.fail("create", SILENT)
    await service.refusal()
    older = service.clock() - timedelta(hours=1)
    service.xumm.payloads["order-1"] = Kept(STRANGE, {"options": {"submit": True}}, older)
    service.clock.advance(seconds=UNSURE.total_seconds())

    assert (await service.refusal()).reason == "identifier_taken"
    assert (await service.create(replace(NEW, order=replace(ASKED, identifier="order-2"))))[1]


async def test_identifier_that_xumm_knows_is_refused(service: Service) -> None:
    """Xumm refuses a second payload of the application with it."""
    service.xumm.payloads["order-1"] = Kept(STRANGE, {}, service.clock())

    assert (await service.refusal()).reason == "xumm_refused"


async def test_user_is_pushed_to(service: Service) -> None:
    """With the token that came with the account's last signature."""
    service.xumm.active.add(TOKEN)
    await service.writer.record(signed(9, at=service.clock()))
    answer, _ = await service.create(replace(NEW, order=replace(ASKED, account=ACCOUNT)))

    assert (answer.pushed, service.xumm.payloads["order-1"].body["user_token"]) == (True, TOKEN)


async def test_push_that_failed_is_remembered(service: Service) -> None:
    """The token is checked before the next push."""
    service.xumm.active.add(TOKEN)
    service.xumm.asleep = True
    await service.writer.record(signed(9, at=service.clock()))
    for number in (1, 2):
        order = replace(ASKED, account=ACCOUNT, identifier=f"order-{number}")
        await service.create(replace(NEW, order=order, idempotency_key=None))

    assert service.xumm.calls == ["create", "token_states", "create"]


async def test_cancelling(service: Service) -> None:
    """A payload that nobody opened is cancelled, once, and that is an event."""
    answer, _ = await service.create()
    stored = await service.stored(answer)
    reasons = [await service.requests.cancel(stored) for _ in range(2)]

    assert reasons == ["OK", "ALREADY_CANCELLED"]
    assert await service.events(answer) == ["xumm.sign.created", "xumm.sign.cancelled"]


@pytest.mark.parametrize("reason", ["already_opened", "already_resolved", "already_expired"])
async def test_payload_that_cannot_be_cancelled(service: Service, reason: str) -> None:
    """The caller is told why, and nothing is reported."""
    answer, _ = await service.create()
    service.xumm.payloads["order-1"].reason = reason.upper()
    with pytest.raises(Problem, match=reason):
        await service.requests.cancel(await service.stored(answer))

    assert await service.events(answer) == ["xumm.sign.created"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(SILENT, "xumm_unavailable"), (Denied("813"), "xumm_refused"), (NotFound("404"), "not_found")],
)
async def test_cancelling_that_fails_at_xumm(service: Service, error: LookupFailed, reason: str) -> None:
    """The caller is told whether to try again, and nothing is reported."""
    answer, _ = await service.create()
    stored = await service.stored(answer)
    service.xumm.fail("cancel", error)
    with pytest.raises(Problem, match=reason):
        await service.requests.cancel(stored)

    assert await service.events(answer) == ["xumm.sign.created"]
    assert await service.requests.cancel(stored) == "OK"


@dataclass(slots=True)
class Breaking:
    """A store one of whose steps fails once."""

    store: Any
    step: str

    def __getattr__(self, name: str) -> Any:
        if name != self.step:
            return getattr(self.store, name)
        self.step = ""
        raise StoreUnavailable("gone")


async def test_store_that_is_gone_costs_no_payload(writer: Writer, xumm: XummInMemory, clock: FakeClock) -> None:
    """Where the request cannot be reserved, Xumm is not asked."""
    service = build(writer, xumm, clock, lambda store: Breaking(store, "reserve"))
    with pytest.raises(StoreError):
        await service.create()

    assert xumm.calls == []


@pytest.mark.parametrize("step", ["record", "complete"])
async def test_request_that_breaks_off_is_taken_over(
    writer: Writer, xumm: XummInMemory, clock: FakeClock, step: str
) -> None:
    """Whatever could not be stored after Xumm answered: the repetition finds the payload, and makes no second."""
    service = build(writer, xumm, clock, lambda store: Breaking(store, step))
    with pytest.raises(StoreError):
        await service.create()
    busy = await service.refusal()
    clock.advance(seconds=HOLD.total_seconds())
    answer, created = await service.create()

    assert (busy.reason, created, len(xumm.payloads)) == ("idempotency_in_progress", True, 1)
    assert await service.events(answer) == ["xumm.sign.created"]
    assert (await service.stored(answer)).answer is not None


async def test_webhook_that_was_faster_is_streamed(writer: Writer, xumm: XummInMemory, clock: FakeClock) -> None:
    """Events that came before the payload was known to be created here are among its events."""
    service = build(writer, xumm, clock, lambda store: Breaking(store, "record"))
    with pytest.raises(StoreError):
        await service.create()
    await writer.record(webhook(1, signed=False, at=clock()))
    clock.advance(seconds=HOLD.total_seconds())
    answer, _ = await service.create()

    assert answer.id == payload(1)
    assert await service.events(answer) == ["xumm.sign.rejected", "xumm.sign.token_issued"]
