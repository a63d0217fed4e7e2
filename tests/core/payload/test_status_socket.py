import json
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.payload.learning import FIRST_LOOKUP, LOOKUP_SPACING, ROUTINE_PATIENCE
from processor.core.payload.lifecycle import WEBHOOK_PATIENCE, Task, apply
from processor.core.payload.settlement import UNVERIFIED_PATIENCE
from processor.core.payload.state import Fact, Flag, PayloadState
from processor.core.payload.status_socket import (
    ABSENT_LIMIT,
    EXPIRY_SLACK,
    KEEPALIVE,
    LATE_AFTER,
    RECONNECT,
    SILENCE,
    STEADY_AFTER,
    failures_after,
    is_idle,
    is_late,
    is_news,
    is_over,
    retry_delay,
    starts_watch,
    watched_until,
)
from processor.core.reports.report import LookupDue, Report
from processor.core.reports.status import is_present, status_report, unknown_keys
from schemas.status import Status
from tests.core.payloads import (
    APPLICATION,
    EXPIRY,
    NOW,
    PAYLOAD,
    POLICY,
    SHOP,
    UNKNOWN,
    abandoned,
    deadline,
    request,
    snapshot,
    status,
    webhook,
)

SECOND = timedelta(seconds=1)


def due(because: str, *, after: timedelta = timedelta(0)) -> LookupDue:
    return LookupDue(app="shop", application_uuid=APPLICATION, payload=PAYLOAD, at=NOW + after, reason=because)  # type: ignore[arg-type]  # one of them


def after(*reports: Report) -> PayloadState:
    state = UNKNOWN
    for report in reports:
        state = apply(state, report, POLICY).state
    return state


def tasks(*reports: Report) -> tuple[Task, ...]:
    """What the last of the reports asks for."""
    return apply(after(*reports[:-1]), reports[-1], POLICY).tasks


def test_registered_payload_is_looked_up_once() -> None:
    """A little later, since most have ended by then; asking again asks for nothing."""
    assert tasks(due("registered")) == (Task(kind="poll", due=FIRST_LOOKUP),)
    assert tasks(due("registered"), due("registered", after=SECOND)) == ()
    assert tasks(snapshot("open"), due("registered")) == ()
    assert tasks(webhook(), due("registered")) == ()


@pytest.mark.parametrize("because", ["gap", "absent", "stale_webhook"])
def test_doubt_asks_for_a_look_and_claims_nothing(because: str) -> None:
    """The look is due at once, no fact is learned from it, and nothing is published."""
    transition = apply(UNKNOWN, due(because), POLICY)

    assert transition.tasks == (Task(kind="poll"),)
    assert (transition.state.facts, transition.events, transition.state.end_notice) == (Fact(0), (), None)


def test_claimed_outcome_is_looked_up_anyway() -> None:
    """Once a deed is claimed, its own fetch goes on until it is proven: a doubt adds nothing."""
    assert tasks(webhook(), due("stale_webhook", after=SECOND)) == ()


def test_doubt_is_looked_at_though_an_end_was_reported() -> None:
    """What waits for its second look, and what a socket said in vain, is looked at again."""
    late = snapshot("open", at=NOW + UNVERIFIED_PATIENCE)

    assert tasks(snapshot("cancelled"), due("stale_webhook", after=SECOND)) == (Task(kind="poll"),)
    assert tasks(status("signed"), late, due("stale_webhook", after=timedelta(hours=1))) == (Task(kind="poll"),)


def test_ended_payload_is_left_alone() -> None:
    """Neither a resolved payload nor one that a human must look at is looked up again."""
    assert tasks(status("expired"), snapshot("expired", at=EXPIRY), due("gap", after=timedelta(days=1))) == ()
    assert tasks(due("gap"), abandoned(), due("gap", after=timedelta(days=1))) == ()


@given(st.lists(st.integers(0, 3600), min_size=1, max_size=300), st.sampled_from(["gap", "stale_webhook"]))
def test_looks_do_not_pile_up(moments: list[int], because: str) -> None:
    """However often something is doubted within an hour, one look that is not answered yet stands for all."""
    state, asked = UNKNOWN, 0
    for moment in sorted(moments):
        transition = apply(state, due(because, after=(moment - min(moments)) * SECOND), POLICY)
        state, asked = transition.state, asked + len(transition.tasks)

    assert asked == (1 if max(moments) - min(moments) < ROUTINE_PATIENCE / SECOND else 2)


@given(st.lists(st.integers(1, 600), min_size=1, max_size=100))
def test_every_doubt_is_covered(gaps: list[int]) -> None:
    """While looks are answered at once, each doubt is followed by one, and two are never closer than the spacing."""
    state, moment, looks = UNKNOWN, timedelta(0), list[timedelta]()
    for gap in gaps:
        moment += gap * SECOND
        while looks and looks[-1] <= moment and (state.snapshot is None or state.snapshot.fetched_at < NOW + looks[-1]):
            state = apply(state, snapshot("open", at=NOW + looks[-1]), POLICY).state
        transition = apply(state, due("gap", after=moment), POLICY)
        state = transition.state
        looks += [moment + task.due for task in transition.tasks if task.kind == "poll"]

        assert looks[-1] >= moment
    assert all(later - earlier >= LOOKUP_SPACING for earlier, later in pairwise(looks))


def test_signing_that_is_never_heard_of_again_has_a_deadline() -> None:
    """Who began to sign has soon signed: when Xumm has given up its webhook, the payload is looked up."""
    assert tasks(status("pre_signed")) == (Task(kind="deadline", due=WEBHOOK_PATIENCE),)
    assert tasks(status("pre_signed"), status("pre_signed")) == ()
    assert tasks(status("pre_signed"), deadline(at=NOW + WEBHOOK_PATIENCE)) == (Task(kind="poll"),)


def test_look_becomes_a_fetch_once_a_deed_is_claimed() -> None:
    """An expired payload is looked up when there is time; as soon as somebody signed it, its proof is urgent."""
    assert tasks(status("expired")) == (Task(kind="poll"),)
    assert tasks(status("expired"), webhook()) == (Task(kind="fetch"),)


def test_late_expiry_is_looked_at_ever_more_rarely() -> None:
    """A payload that should have expired and has not is looked up again, at growing distances up to an hour."""
    waits = [tasks(snapshot("open", at=EXPIRY + late * SECOND))[0].due for late in (0, 60, 600, 36_000)]

    assert [wait / SECOND for wait in waits] == [30, 60, 600, 3600]


def test_expiry_that_the_api_tells_counts() -> None:
    """A socket may have told another one: the API's word replaces it, and brings a deadline of its own."""
    lie = NOW + timedelta(days=365)
    state = after(status("alive", expires_at=lie), snapshot("open"))

    assert state.expires_at == EXPIRY
    assert tasks(status("alive", expires_at=lie), snapshot("open"))[0].due < timedelta(hours=1)


def test_end_of_a_watch() -> None:
    """A payload is watched until it ended, is flagged, or can be resolved no more: opened ones longer."""
    unopened, opened = after(snapshot("open")), after(status("opened"), snapshot("open"))

    assert watched_until(UNKNOWN, POLICY) is None
    assert watched_until(unopened, POLICY) == EXPIRY + EXPIRY_SLACK
    assert watched_until(opened, POLICY) == EXPIRY + POLICY.grace
    assert not is_over(unopened, POLICY, EXPIRY)
    assert is_over(unopened, POLICY, EXPIRY + EXPIRY_SLACK)
    assert not is_over(opened, POLICY, EXPIRY + EXPIRY_SLACK)
    for ended in (after(webhook()), after(abandoned()), UNKNOWN._replace(flags=Flag.LATE_OUTCOME)):
        assert is_over(ended, POLICY, NOW)
    assert not is_over(after(status("opened"), request("cancelled")), POLICY, NOW)


def test_begin_of_a_watch() -> None:
    """A watch begins when a payload becomes known, or known to have been opened, unless it has ended."""
    assert starts_watch(None, after(status("opened")))
    assert not starts_watch(None, after(webhook()))
    assert starts_watch(after(status("expired")), after(status("expired"), status("opened")))
    assert not starts_watch(after(status("opened")), after(status("opened"), status("pre_signed")))


def test_keepalives_are_no_news() -> None:
    """The first one tells when the payload expires; the others tell nothing."""
    first = status("alive", expires_at=EXPIRY)

    assert is_news(UNKNOWN, first)
    assert not is_news(after(first), status("alive", expires_at=EXPIRY + SECOND))
    assert is_news(after(first), status("opened"))
    assert not is_news(after(first, status("opened")), status("opened"))


@pytest.mark.parametrize(
    ("message", "present"),
    [
        ('{"message":"Welcome 8f5b1d3a-0000-4000-8000-00000000b001"}', True),
        ('{"expires_in_seconds":54}', True),
        ('{"message":"Right back at you!"}', True),
        ('{"message":"..."}', False),
        ("{}", False),
        ("nonsense", False),
        ("[1]", False),
    ],
)
def test_presence(message: str, *, present: bool) -> None:
    """Only the greeting or a status shows that the payload exists."""
    assert present == is_present(message)


@pytest.mark.parametrize(
    ("message", "idle"),
    [
        ('{"expires_in_seconds":54}', True),
        ('{"expires_in_seconds":-54}', True),
        ('{"expires_in_seconds":0}', True),
        ('{"expires_in_seconds":54,"opened":true}', False),
        ('{"expires_in_seconds":054}', False),
        ('{"expires_in_seconds":54}\n', False),
        ('{"expires_in_seconds":\u0665}', False),
        ('{"expired":true}', False),
    ],
)
def test_keepalives_need_no_reading(message: str, *, idle: bool) -> None:
    """A keepalive that tells no news is known by its looks; so is none of which the payload's expiry is learned."""
    assert idle == is_idle(UNKNOWN._replace(expires_at=EXPIRY), message)
    assert not is_idle(UNKNOWN, message)


@given(st.from_regex(r'\{"expires_in_seconds":-?[0-9]{1,12}\}\n?', fullmatch=True) | st.text(max_size=50))
def test_what_needs_no_reading_says_nothing(message: str) -> None:
    """Reading it would come to the same: nothing unknown in it, and no news."""
    state = UNKNOWN._replace(expires_at=EXPIRY)
    if is_idle(state, message):
        report = status_report(SHOP, PAYLOAD, message, NOW)

        assert unknown_keys(message) == []
        assert report is not None
        assert not is_news(state, report)


def test_strange_keys() -> None:
    """Keys that nobody knows are named, fit for a log line."""
    assert unknown_keys('{"opened":true,"b\\n":1,"a":2,"user_token":true}') == ["a", "b?"]
    assert unknown_keys("nonsense") == []


@given(st.binary(max_size=50) | st.text(max_size=50))
def test_any_message_can_be_looked_at(message: bytes | str) -> None:
    """Nothing that a socket sends raises here."""
    is_present(message)
    unknown_keys(message)


@given(st.lists(st.integers(0, 29), max_size=20), st.floats(0, 1, exclude_max=True))
def test_short_connections_do_not_reset_the_backoff(lives: list[int], chance: float) -> None:
    """Failures add up while connections do not last, delays grow to the cap, and one that lasted begins anew."""
    failures, delays = 0, [timedelta(0)]
    for lived in lives:
        failures = failures_after(failures, lived * SECOND)
        delays.append(retry_delay(failures, chance))

    assert failures == len(lives)
    assert delays == sorted(delays)
    assert delays[-1] <= RECONNECT.cap
    assert failures_after(failures, STEADY_AFTER) == 1


def test_times() -> None:
    """A socket that is silent for 45 s counts as dead; it is steady after 30 s, and late after 10."""
    seconds = (KEEPALIVE, SILENCE, STEADY_AFTER, LATE_AFTER, EXPIRY_SLACK, RECONNECT.first, RECONNECT.cap)

    assert [15, 45, 30, 10, 60, 1, 300] == [each.total_seconds() for each in seconds]
    assert 5 == ABSENT_LIMIT


def test_late_socket() -> None:
    """Ten seconds after the payload became known, and not before."""
    assert [False, True] == [is_late(NOW, NOW + LATE_AFTER - left) for left in (SECOND, timedelta(0))]


def test_watch_is_over_at_its_last_moment() -> None:
    """Not a second before; without an expiry never, unless it is resolved, answered or flagged."""
    unopened = after(snapshot("open"))

    assert [False, True] == [is_over(unopened, POLICY, EXPIRY + EXPIRY_SLACK - left) for left in (SECOND, timedelta(0))]
    assert not is_over(UNKNOWN, POLICY, NOW + timedelta(days=999))
    assert is_over(UNKNOWN._replace(resolved="cancelled"), POLICY, NOW)
    assert is_over(UNKNOWN._replace(facts=int(Fact.REJECTED)), POLICY, NOW)


def test_answered_payload_is_not_watched() -> None:
    """However it is known; one that was known to be opened is no news."""
    opened = after(status("opened"))

    assert not starts_watch(opened, after(status("opened"), webhook()))
    assert not starts_watch(None, after(webhook(signed=False)))
    assert not starts_watch(opened, opened)
    assert starts_watch(None, UNKNOWN)


def test_message_is_news_if_its_fact_or_its_expiry_is() -> None:
    """A repetition is none."""
    assert not is_news(UNKNOWN, status("alive"))
    assert not is_news(UNKNOWN._replace(expires_at=EXPIRY), status("alive", expires_at=NOW))
    assert is_news(UNKNOWN._replace(expires_at=EXPIRY), status("expired"))


@pytest.mark.parametrize(
    ("message", "present"),
    [
        (b'{"opened":true}', True),
        ('{"message":"Right back at you! x"}', True),
        ('{"message":"welcome"}', False),
        ('{"message":"You said Welcome"}', False),
        ('{"message":7}', True),
        ('"Welcome"', False),
        ("null", False),
    ],
)
def test_presence_by_any_message(message: str | bytes, *, present: bool) -> None:
    """A greeting begins with its word; an object that greets nobody is a status."""
    assert present == is_present(message)


@pytest.mark.parametrize(
    ("message", "idle"),
    [
        ('{"expires_in_seconds":999999999}', True),
        ('{"expires_in_seconds":1000000000}', False),
        ('{"expires_in_seconds":-0}', False),
        (b'{"expires_in_seconds":54}', False),
    ],
)
def test_bounds_of_keepalives(message: str | bytes, *, idle: bool) -> None:
    """Nine digits of text."""
    assert idle == is_idle(UNKNOWN._replace(expires_at=EXPIRY), message)


def test_known_keys_are_not_strange() -> None:
    """Those of a status, and those that Xumm is known to send besides."""
    known = ("ping", "reference_call_uuidv4", "user_token", "return_url", "opened_by_deeplink")
    message = dict.fromkeys((*known, *Status.model_fields), 1)

    assert [] == unknown_keys(json.dumps(message))
    assert ["x" * 40] == unknown_keys(json.dumps({"x" * 41: 1}))


@pytest.mark.parametrize(("failures", "seconds"), [(0, 1), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (99, 300)])
def test_pauses_between_connections(failures: int, seconds: int) -> None:
    """They double from one second to five minutes, less up to a half by chance."""
    assert [seconds * SECOND, seconds * SECOND * 0.75] == [retry_delay(failures, chance) for chance in (0.0, 0.5)]


def test_connection_that_lasted_ends_a_run_of_failures() -> None:
    """Thirty seconds are enough."""
    assert (4, 1) == (failures_after(3, STEADY_AFTER - SECOND), failures_after(3, STEADY_AFTER))
