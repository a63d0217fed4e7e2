"""How one report adds to what is known of a payload."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from processor.core.payload.ids import user_reference
from processor.core.payload.learning import (
    FIRST_LOOKUP,
    FRESH_TOKEN,
    LOOKUP_SPACING,
    REQUEST_FACTS,
    RESOLVED_FACTS,
    ROUTINE_PATIENCE,
    STATUS_FACTS,
    learn,
)
from processor.core.payload.state import EndNotice, Fact, Flag, PayloadState
from processor.core.reports.report import FlagsReleased, LookupDue, Report, ReportedToken, SnapshotReport
from tests.core.payload.test_lifecycle import FORGED, MISSING, UNREADABLE
from tests.core.payloads import (
    APPLICATION,
    EXPIRY,
    NOW,
    OTHER_TXID,
    PAYLOAD,
    TXID,
    UNKNOWN,
    abandoned,
    deadline,
    ledger,
    request,
    snapshot,
    status,
    webhook,
)

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
TOKEN = ReportedToken(value="0b0e7d4f-1111-4222-8333-944455556666", issued_at=NOW)
OTHER_TOKEN = ReportedToken(value="0b0e7d4f-1111-4222-8333-944455557777", issued_at=NOW)


def known(*reports: Report, state: PayloadState = UNKNOWN) -> PayloadState:
    for report in reports:
        state = learn(state, report)
    return state


def due(because: Any, at: datetime = NOW) -> LookupDue:
    return LookupDue(app="shop", application_uuid=APPLICATION, payload=PAYLOAD, at=at, reason=because)


RELEASED = FlagsReleased(app="shop", application_uuid=APPLICATION, payload=PAYLOAD, at=NOW)


def with_(report: Report, **changes: Any) -> Report:
    assert isinstance(report, SnapshotReport)
    return replace(report, **changes)


def test_times() -> None:
    """Tokens are new for half an hour; looks keep a minute's distance, and wait an hour for their answer."""
    assert (timedelta(minutes=30), MINUTE, MINUTE, timedelta(hours=1)) == (
        FRESH_TOKEN,
        FIRST_LOOKUP,
        LOOKUP_SPACING,
        ROUTINE_PATIENCE,
    )


@pytest.mark.parametrize(
    ("report", "facts"),
    [
        (webhook(), Fact.DELIVERED | Fact.SIGNED | Fact.OPENED),
        (webhook(signed=False), Fact.DELIVERED | Fact.REJECTED | Fact.OPENED),
        (status("opened"), Fact.OPENED),
        (status("pre_signed"), Fact.PRE_SIGNED | Fact.OPENED),
        (status("dispatched"), Fact.DISPATCHED | Fact.PRE_SIGNED | Fact.OPENED),
        (status("signed"), Fact.SIGNED | Fact.OPENED),
        (status("rejected"), Fact.REJECTED | Fact.OPENED),
        (status("expired"), Fact.EXPIRED),
        (status("alive"), Fact(0)),
        (request("created"), Fact.CREATED),
        (request("cancelled"), Fact.CANCELLED),
        (snapshot("open"), Fact(0)),
        (snapshot("open", opened=True), Fact.OPENED),
        (snapshot("expired"), Fact.EXPIRED),
        (snapshot("cancelled"), Fact.CANCELLED),
        (snapshot("rejected"), Fact.REJECTED | Fact.OPENED),
        (snapshot("signed"), Fact.SIGNED | Fact.OPENED),
        (ledger(), Fact(0)),
        (deadline(), Fact(0)),
        (due("gap"), Fact(0)),
        (abandoned(), Fact(0)),
    ],
)
def test_facts(report: Report, facts: Fact) -> None:
    """Each report tells its own, with what they imply, and adds them to those that were known."""
    assert int(facts) == known(report).facts
    assert int(facts | Fact.TOKEN_ISSUED) == known(report, state=UNKNOWN._replace(facts=256)).facts


def test_tables_of_facts() -> None:
    """What a socket tells, what this service does, and which deed a published outcome stands for."""
    assert {"opened": 2, "pre_signed": 4, "dispatched": 8, "signed": 16, "rejected": 32, "expired": 64, "alive": 0} == (
        STATUS_FACTS
    )
    assert {"created": 1, "cancelled": 128} == REQUEST_FACTS
    assert {
        "signed": 16,
        "validated": 16,
        "failed": 16,
        "rejected": 32,
        "cancelled": 128,
        "expired": 0,
    } == RESOLVED_FACTS


def test_time_that_passed_teaches_nothing() -> None:
    """It is for the lifecycle to act on."""
    state = known(webhook(), snapshot())

    assert state == known(deadline(), state=state)


def test_giving_up_is_flagged() -> None:
    """And nothing else changes."""
    state = known(webhook())._replace(flags=int(Flag.LATE_OUTCOME))

    assert state._replace(flags=Flag.LATE_OUTCOME | Flag.ABANDONED) == known(abandoned(), state=state)


def test_what_accompanies_keeps_its_first_value() -> None:
    """Transaction, user, expiry and attachment; what was not there yet is taken when it comes."""
    first = status("signed", txid=TXID, expires_at=EXPIRY, custom_meta=b"1")
    other = status("signed", txid=OTHER_TXID, expires_at=NOW, custom_meta=b"2")
    state = known(status("opened"), first, other)

    assert (TXID, EXPIRY, b"1") == (state.txid, state.expires_at, state.custom_meta)
    assert TXID == known(webhook(), webhook(txid=OTHER_TXID)).txid
    assert EXPIRY == known(request("created", expires_at=EXPIRY), request("created", expires_at=NOW)).expires_at


def test_expiry_is_what_the_api_says() -> None:
    """Its word replaces another, and its silence replaces nothing."""
    told = known(status("alive", expires_at=NOW), snapshot("open"))

    assert EXPIRY == told.expires_at
    assert EXPIRY == known(snapshot("open", expires_at=None), state=told).expires_at


def test_who_asked_is_kept() -> None:
    """Whom it was made for and by whom, as first told."""
    first = request("created", asked_of="a", asked_by="b")
    state = known(request("created"), first, request("cancelled", asked_of="c", asked_by="d"))

    assert ("a", "b") == (state.asked_of, state.asked_by)
    assert ("a", None) == (known(request("created", asked_of="a")).asked_of, known(request("created")).asked_by)


def test_user_is_known_by_the_first_token() -> None:
    """As an opaque reference; no token, no user."""
    reference = user_reference(APPLICATION, TOKEN.value)

    assert reference == known(webhook(token=TOKEN), webhook(token=OTHER_TOKEN)).user
    assert reference == known(webhook(), with_(snapshot(), token=TOKEN)).user
    assert known(webhook()).user is None


@pytest.mark.parametrize(
    ("issued_at", "is_fresh"),
    [
        (NOW, True),
        (NOW - timedelta(minutes=30), True),
        (NOW + timedelta(minutes=30), True),
        (NOW - timedelta(minutes=30) - SECOND, False),
        (NOW + timedelta(minutes=30) + SECOND, False),
        (None, False),
    ],
)
def test_token_is_issued_with_a_payload_if_it_is_new(issued_at: datetime | None, *, is_fresh: bool) -> None:
    """Half an hour either way, since clocks may differ; one of which nobody says when it was issued is not."""
    state = known(webhook(token=ReportedToken(value=TOKEN.value, issued_at=issued_at)))

    assert is_fresh == bool(state.facts & Fact.TOKEN_ISSUED)


@pytest.mark.parametrize(
    ("reports", "learned"),
    [
        ([status("opened"), request("created"), snapshot("open")], None),
        ([webhook()], EndNotice("webhook", NOW)),
        ([status("signed")], EndNotice("websocket", NOW)),
        ([status("expired")], EndNotice("websocket", NOW)),
        ([snapshot("rejected")], EndNotice("api", NOW)),
        ([snapshot("expired")], EndNotice("api", NOW)),
        ([request("cancelled")], EndNotice("request", NOW)),
        ([status("expired"), webhook(at=NOW + SECOND)], EndNotice("webhook", NOW + SECOND)),
        ([status("expired"), status("expired", at=NOW + SECOND)], EndNotice("websocket", NOW)),
        ([webhook(), status("expired", at=NOW + SECOND)], EndNotice("webhook", NOW)),
        ([webhook(), snapshot(at=NOW + SECOND)], EndNotice("webhook", NOW)),
        ([request("cancelled"), webhook(at=NOW + SECOND)], EndNotice("request", NOW)),
        ([status("expired"), status("opened", at=NOW + SECOND)], EndNotice("websocket", NOW)),
    ],
)
def test_first_word_of_an_end(reports: list[Report], learned: EndNotice | None) -> None:
    """Who first told of a deed, and when; of the expiry as long as nobody told of one."""
    assert learned == known(*reports).end_notice


@pytest.mark.parametrize(
    ("report", "flags"),
    [
        (snapshot(), 0),
        (snapshot(**FORGED), Flag.SIGNATURE_DISPROVEN),
        (snapshot(**MISSING), 0),
        (snapshot(**UNREADABLE), 0),
        (snapshot(networks_disagree=True), Flag.NETWORKS_DISAGREE),
        (snapshot(txid=OTHER_TXID), Flag.TRANSACTIONS_DISAGREE),
        (snapshot(txid=None), 0),
        (snapshot(txid=OTHER_TXID, networks_disagree=True), Flag.TRANSACTIONS_DISAGREE | Flag.NETWORKS_DISAGREE),
    ],
)
def test_contradictions(report: Report, flags: Flag | int) -> None:
    """Each is flagged beside what was flagged before."""
    before = known(snapshot())._replace(flags=int(Flag.LATE_OUTCOME))

    assert Flag.LATE_OUTCOME | flags == known(report, state=before).flags


def test_answer_about_another_application_teaches_nothing_else() -> None:
    """It is flagged."""
    before = known(status("opened"))
    stranger = snapshot(application="8f5b1d3a-0000-4000-8000-00000000dead")

    assert before._replace(flags=Flag.APPLICATIONS_DISAGREE) == known(stranger, state=before)


RANKED = [
    snapshot("open", at=NOW + 9 * SECOND),
    snapshot("expired", at=NOW + 8 * SECOND),
    snapshot("cancelled", at=NOW + 6 * SECOND),
    snapshot("rejected", at=NOW + 7 * SECOND),
    snapshot("signed", at=NOW + 5 * SECOND, signature=None),
    snapshot("signed", at=NOW),
    snapshot("signed", at=NOW + SECOND),
]


@pytest.mark.parametrize("worse", range(len(RANKED)))
@pytest.mark.parametrize("better", range(len(RANKED)))
def test_best_answer_is_kept(worse: int, better: int) -> None:
    """By what it says, then by its proof, then by its time, in whichever order they come."""
    best = RANKED[max(worse, better)].snapshot

    assert best == known(RANKED[worse], RANKED[better]).snapshot


LEDGERS = [
    ledger("pending", at=NOW + 9 * SECOND),
    ledger("never_validated", at=NOW + 8 * SECOND),
    ledger("validated", at=NOW),
    ledger("validated", at=NOW + SECOND),
]


@pytest.mark.parametrize("worse", range(len(LEDGERS)))
@pytest.mark.parametrize("better", range(len(LEDGERS)))
def test_best_word_of_a_ledger_is_kept(worse: int, better: int) -> None:
    """By what it says, then by its time, in whichever order they come."""
    assert LEDGERS[max(worse, better)].ledger == known(LEDGERS[worse], LEDGERS[better]).ledger


def test_ledger_is_asked_about_the_transaction_of_the_payload() -> None:
    """While Xumm's API has named none, the last that was asked about counts; then no other does."""
    other = ledger("pending", txid=OTHER_TXID)

    assert other.ledger == known(ledger(), other).ledger
    assert ledger().ledger == known(snapshot(), ledger(), other).ledger
    assert known(snapshot(), other).ledger is None
    assert ledger().ledger == known(snapshot(), other, ledger()).ledger
    assert other.ledger == known(snapshot(txid=None), ledger(), other).ledger


LOOK = NOW + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("because", "look_at", "fetched_at", "at", "expected"),
    [
        ("registered", None, None, NOW, NOW + MINUTE),
        ("registered", LOOK, None, NOW, LOOK),
        ("registered", None, NOW, NOW, None),
        ("registered", LOOK, NOW, NOW, LOOK),
        ("gap", None, None, NOW, NOW),
        ("gap", None, NOW, NOW + SECOND, NOW + SECOND),
        ("gap", LOOK, None, LOOK - SECOND, LOOK),
        ("gap", LOOK, None, LOOK, LOOK),
        ("gap", LOOK, None, LOOK + timedelta(minutes=60) - SECOND, LOOK),
        ("gap", LOOK, None, LOOK + timedelta(minutes=60), LOOK + timedelta(minutes=60)),
        ("gap", LOOK, LOOK - SECOND, LOOK + SECOND, LOOK),
        ("gap", LOOK, LOOK, LOOK - SECOND, LOOK),
        ("gap", LOOK, LOOK, LOOK, LOOK + MINUTE),
        ("gap", LOOK, LOOK, LOOK + SECOND, LOOK + MINUTE),
        ("gap", LOOK, LOOK + SECOND, LOOK + MINUTE + SECOND, LOOK + MINUTE + SECOND),
    ],
)
def test_next_look(
    because: str, look_at: datetime | None, fetched_at: datetime | None, at: datetime, expected: datetime | None
) -> None:
    """One look stands for all doubts before it and, until it is answered, for those of the hour that follows."""
    fetched = None if fetched_at is None else snapshot("open", at=fetched_at).snapshot
    state = UNKNOWN._replace(lookup_at=look_at, snapshot=fetched)

    assert expected == known(due(because, at), state=state).lookup_at


def test_release_forgets_the_evidence() -> None:
    """The next answer of Xumm's API decides; the facts stay."""
    state = known(webhook(), snapshot(), ledger(), due("gap"), abandoned())
    released = known(RELEASED, state=state)

    assert state._replace(flags=0, txid=None, snapshot=None, ledger=None, lookup_at=None) == released


def test_release_keeps_what_was_published() -> None:
    """A payload that is resolved keeps its outcome and its evidence; the flags alone go."""
    state = known(webhook(), snapshot(), ledger(), due("gap"))._replace(resolved="validated", flags=1)

    assert state._replace(flags=0) == known(RELEASED, state=state)
