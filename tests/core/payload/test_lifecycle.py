from datetime import datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from processor.core.payload.facts import FACTS
from processor.core.payload.lifecycle import (
    DEADLINE_SLACK,
    DEFAULT_EXPIRY,
    LONGEST_PAUSE,
    WEBHOOK_PATIENCE,
    Task,
    Transition,
    apply,
)
from processor.core.payload.settlement import (
    SECOND_LOOKUP,
    SETTLEMENT,
    UNVERIFIED_PATIENCE,
    VERIFIED_PATIENCE,
    Check,
    Evidence,
    Fetch,
    ReportedEnd,
    Resolve,
    Rest,
    Stop,
    Wait,
)
from processor.core.payload.state import ENDED, Fact, Flag, PayloadState
from processor.core.proof.evidence import SignatureDoubt, VerifiedSignature
from processor.core.reports.report import FlagsReleased, LookupDue, Report, ReportedToken
from schemas.events import ResolveName, SignName
from tests.core.payloads import (
    APPLICATION,
    EXPIRY,
    NOW,
    OTHER_TXID,
    PAYLOAD,
    POLICY,
    UNKNOWN,
    abandoned,
    deadline,
    ledger,
    request,
    sign_in,
    snapshot,
    status,
    webhook,
)

LATER = EXPIRY + POLICY.grace + timedelta(minutes=1)
LOOKED_AGAIN = NOW + SECOND_LOOKUP


def live(*reports: Report) -> tuple[PayloadState, list[str], list[Transition]]:
    """The state after the reports, the names of all events in order, and the transitions."""
    state, transitions = UNKNOWN, []
    for report in reports:
        transitions.append(apply(state, report, POLICY))
        state = transitions[-1].state
    events = [f"{a.family}.{a.name}" for transition in transitions for a in transition.events]
    return state, events, transitions


def paid(at: datetime) -> list[Report]:
    """The API shows the signature, and the ledger the payment."""
    return [snapshot(at=at), ledger(at=at)]


FORGED = {"signature": None, "doubt": SignatureDoubt(field="TxnSignature", reason="forged")}
MISSING = {"signature": None, "doubt": SignatureDoubt(field="response.hex", reason="missing")}
UNREADABLE = {"signature": None, "doubt": SignatureDoubt(field="response.hex", reason="unreadable")}
FOREIGN = VerifiedSignature(account="rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe", algorithm="ed25519", unauthorised="rPT1")


STORIES: dict[str, tuple[list[Report], list[str]]] = {
    "a payment through the webhook": (
        [webhook(), snapshot(), ledger("pending"), ledger()],
        ["sign.signed", "resolve.validated"],
    ),
    "a payment whose webhook was lost": (
        [status("opened"), snapshot(), ledger()],
        ["sign.opened", "sign.signed", "resolve.validated"],
    ),
    "every stage is announced once": (
        [
            request("created", expires_at=EXPIRY),
            status("opened"),
            status("opened"),
            status("pre_signed"),
            status("dispatched"),
            status("signed", txid="AB" * 32),
            webhook(),
            snapshot(),
            ledger(),
        ],
        [
            "sign.created",
            "sign.opened",
            "sign.pre_signed",
            "sign.dispatched",
            "sign.signed",
            "resolve.validated",
        ],
    ),
    "late news is kept and not announced": (
        [webhook(), status("opened"), status("pre_signed"), snapshot(), ledger()],
        ["sign.signed", "resolve.validated"],
    ),
    "a sign-in": ([webhook(txid=None), sign_in()], ["sign.signed", "resolve.signed"]),
    "a signature that was not to be submitted": (
        [webhook(), snapshot(submit=False)],
        ["sign.signed", "resolve.signed"],
    ),
    "a rejection": ([webhook(signed=False), snapshot("rejected")], ["sign.rejected", "resolve.rejected"]),
    "a rejection that renews the user token": (
        [
            webhook(signed=False, token=ReportedToken(value="6f2c1d2e-7f0c-4b1e-9d53-3a6d5a0c9a41", issued_at=NOW)),
            snapshot("rejected"),
        ],
        ["sign.rejected", "sign.token_issued", "resolve.rejected"],
    ),
    "another look after the expiry": (
        [status("opened"), status("expired"), status("opened")],
        ["sign.opened", "sign.expired"],
    ),
    "a cancellation": (
        [request("created"), request("cancelled"), snapshot("cancelled"), snapshot("cancelled", at=LOOKED_AGAIN)],
        ["sign.created", "sign.cancelled", "resolve.cancelled"],
    ),
    "a payload that nobody opened": (
        [request("created", expires_at=EXPIRY), deadline(), snapshot("expired", at=EXPIRY)],
        ["sign.created", "sign.expired", "resolve.expired"],
    ),
    "opened, expired, then signed": (
        [
            status("opened"),
            status("expired"),
            snapshot("expired", opened=True, at=EXPIRY),
            webhook(),
            snapshot(at=LATER),
            ledger(),
        ],
        ["sign.opened", "sign.expired", "sign.signed", "resolve.validated"],
    ),
    "opened, expired, and left alone": (
        [
            status("opened"),
            status("expired"),
            snapshot("expired", opened=True, at=EXPIRY),
            deadline(at=LATER),
            snapshot("expired", opened=True, at=LATER),
        ],
        ["sign.opened", "sign.expired", "resolve.expired"],
    ),
    "a transaction that failed on the ledger": (
        [webhook(), snapshot(), ledger(result="tecPATH_DRY")],
        ["sign.signed", "resolve.failed"],
    ),
    "a transaction that never made it": (
        [webhook(), snapshot(), ledger("never_validated")],
        ["sign.signed", "resolve.failed"],
    ),
    "a payment on a test network": (
        [webhook(), snapshot(network="TESTNET"), ledger()],
        ["sign.signed", "resolve.failed"],
    ),
    "the ledger was asked before the API": ([webhook(), ledger(), snapshot()], ["sign.signed", "resolve.validated"]),
    "a dispatch result that came late": (
        [webhook(), snapshot(network=None), snapshot(at=LATER), ledger()],
        ["sign.signed", "resolve.validated"],
    ),
    "a new user": (
        [webhook(token=ReportedToken(value="6f2c1d2e-7f0c-4b1e-9d53-3a6d5a0c9a41", issued_at=NOW))],
        ["sign.signed", "sign.token_issued"],
    ),
    "a returning user": (
        [webhook(token=ReportedToken(value="6f2c1d2e-7f0c-4b1e-9d53-3a6d5a0c9a41", issued_at=NOW - timedelta(days=3)))],
        ["sign.signed"],
    ),
    "signed in spite of a cancellation": (
        [
            request("created"),
            request("cancelled"),
            snapshot("cancelled"),
            deadline(at=LOOKED_AGAIN),
            *paid(LOOKED_AGAIN),
        ],
        ["sign.created", "sign.cancelled", "sign.signed", "resolve.validated"],
    ),
    "cancelled although opened, and left alone": (
        [
            status("opened"),
            snapshot("cancelled", opened=True),
            snapshot("cancelled", opened=True, at=LOOKED_AGAIN),
            snapshot("cancelled", opened=True, at=LATER),
        ],
        ["sign.opened", "sign.cancelled", "resolve.cancelled"],
    ),
    "cancelled although opened, then signed": (
        [status("opened"), snapshot("cancelled", opened=True), webhook(), *paid(LOOKED_AGAIN)],
        ["sign.opened", "sign.cancelled", "sign.signed", "resolve.validated"],
    ),
    "signed, and told late that it was cancelled": (
        [webhook(), request("cancelled"), *paid(NOW)],
        ["sign.signed", "resolve.validated"],
    ),
    "a socket that lies of a rejection": (
        [status("rejected"), *paid(NOW)],
        ["sign.rejected", "sign.signed", "resolve.validated"],
    ),
    "a socket that lies of a signature": (
        [status("signed", txid=OTHER_TXID), snapshot("rejected", at=LOOKED_AGAIN)],
        ["sign.signed", "sign.rejected", "resolve.rejected"],
    ),
    "a socket that lies of a signature that never comes": (
        [status("signed"), snapshot("expired", opened=True, at=EXPIRY), snapshot("expired", opened=True, at=LATER)],
        ["sign.signed", "resolve.expired"],
    ),
    "a socket that lies of an expiry": (
        [status("expired"), snapshot("open"), *paid(EXPIRY)],
        ["sign.expired", "sign.signed", "resolve.validated"],
    ),
    "a socket that names another transaction": (
        [status("signed", txid=OTHER_TXID), webhook(), *paid(NOW)],
        ["sign.signed", "resolve.validated"],
    ),
    "an API that disagrees with the webhook": (
        [webhook(), snapshot("rejected"), snapshot("rejected", at=LOOKED_AGAIN)],
        ["sign.signed", "sign.rejected", "resolve.rejected"],
    ),
    "an API that names another transaction than the webhook": (
        [webhook(), snapshot(txid=OTHER_TXID), ledger(txid=OTHER_TXID)],
        ["sign.signed", "resolve.validated"],
    ),
    "an API that names two transactions": (
        [snapshot(), snapshot(txid=OTHER_TXID), ledger(), ledger(txid=OTHER_TXID)],
        ["sign.signed"],
    ),
    "an API that names another application": (
        [webhook(), snapshot(application="8f5b1d3a-0000-4000-8000-00000000dead"), snapshot(), ledger()],
        ["sign.signed"],
    ),
    "a forged signature": ([webhook(), snapshot(**FORGED), snapshot(at=LATER), ledger()], ["sign.signed"]),
    "a forged sign-in": ([webhook(txid=None), sign_in(**FORGED)], ["sign.signed"]),
    "a signature that was not there at first": (
        [webhook(), snapshot(**MISSING), ledger(), snapshot(at=LATER)],
        ["sign.signed", "resolve.validated"],
    ),
    "a signature that nobody here can read": ([webhook(), snapshot(**UNREADABLE), ledger()], ["sign.signed"]),
    "a sign-in that nobody here can read": ([webhook(txid=None), sign_in(**UNREADABLE)], ["sign.signed"]),
    "a signature that can no longer be read": (
        [webhook(), snapshot(), snapshot(at=LATER, **UNREADABLE), ledger()],
        ["sign.signed", "resolve.validated"],
    ),
    "a sign-in with a key that nobody vouches for": (
        [webhook(txid=None), sign_in(signature=FOREIGN)],
        ["sign.signed"],
    ),
    "a payment with a regular key": (
        [webhook(), snapshot(signature=FOREIGN), ledger()],
        ["sign.signed", "resolve.validated"],
    ),
    "an API that names two networks": ([webhook(), snapshot(networks_disagree=True), ledger()], ["sign.signed"]),
    "a test network, whatever was signed": (
        [webhook(), snapshot(network="TESTNET", **UNREADABLE)],
        ["sign.signed", "resolve.failed"],
    ),
    "a lookup that was given up": ([webhook(), abandoned(), snapshot(), ledger()], ["sign.signed"]),
}


@pytest.mark.parametrize("story", STORIES)
def test_story(story: str) -> None:
    """A payload's life ends in the events that the story calls for, numbered without gaps."""
    reports, expected = STORIES[story]

    state, events, transitions = live(*reports)

    assert expected == events
    assert len(expected) == state.sequence
    assert list(range(1, len(expected) + 1)) == [a.sequence for t in transitions for a in t.events]


@pytest.mark.parametrize("story", STORIES)
def test_repetition_is_no_news(story: str) -> None:
    """Hearing a whole story a second time changes no fact and publishes nothing."""
    reports, expected = STORIES[story]

    once, _, _ = live(*reports)
    state, events, transitions = live(*reports, *reports)

    assert expected == events
    assert once.facts == state.facts
    assert not once.flags or once.flags == state.flags
    assert not once.flags or not any(transition.raised for transition in transitions[len(reports) :])


@pytest.mark.parametrize(
    ("reports", "flag"),
    [
        ([snapshot(), snapshot(txid=OTHER_TXID)], Flag.TRANSACTIONS_DISAGREE),
        ([snapshot(application="8f5b1d3a-0000-4000-8000-00000000dead")], Flag.APPLICATIONS_DISAGREE),
        ([status("expired"), snapshot("expired", at=EXPIRY), webhook()], Flag.LATE_OUTCOME),
        ([snapshot("cancelled"), snapshot("cancelled", at=LOOKED_AGAIN), snapshot(at=LATER)], Flag.LATE_OUTCOME),
        ([snapshot("rejected"), webhook()], Flag.LATE_OUTCOME),
        ([snapshot("rejected"), status("signed")], Flag.OUTCOMES_DISAGREE),
        ([sign_in(), webhook(signed=False)], Flag.OUTCOMES_DISAGREE),
        ([webhook(), abandoned()], Flag.ABANDONED),
        ([webhook(), snapshot(**FORGED)], Flag.SIGNATURE_DISPROVEN),
        ([webhook(), sign_in(**FORGED)], Flag.SIGNATURE_DISPROVEN),
        ([webhook(), snapshot(**UNREADABLE)], Flag.SIGNATURE_UNREADABLE),
        ([webhook(), sign_in(**UNREADABLE)], Flag.SIGNATURE_UNREADABLE),
        ([webhook(), snapshot(networks_disagree=True)], Flag.NETWORKS_DISAGREE),
    ],
)
def test_contradictions_raise_a_flag_once(reports: list[Report], flag: Flag) -> None:
    """The report that contradicts raises its flag, nothing is resolved from then on, and it is not raised again."""
    state, _, transitions = live(*reports)
    again = apply(state, reports[-1], POLICY)

    assert flag == transitions[-1].raised
    assert Stop() == transitions[-1].step
    assert Flag(0) == again.raised
    assert () == again.tasks


REFUTED: list[list[Report]] = [
    [status("rejected"), *paid(NOW)],
    [status("signed"), snapshot("rejected", at=LOOKED_AGAIN)],
    [status("signed", txid=OTHER_TXID), *paid(NOW)],
    [webhook(), snapshot("rejected", at=LOOKED_AGAIN)],
    [status("signed"), snapshot("expired", opened=True, at=LATER)],
]


@pytest.mark.parametrize("reports", REFUTED)
def test_refuted_word_is_flagged_for_information(reports: list[Report]) -> None:
    """What was proven is published all the same, and with it the flag that somebody had said otherwise."""
    state, _, transitions = live(*reports)

    assert Flag.OUTCOMES_DISAGREE == transitions[-1].raised == state.flags
    assert isinstance(transitions[-1].step, Resolve)


@pytest.mark.parametrize(
    "reports",
    [
        [request("created"), request("cancelled"), snapshot("cancelled"), *paid(LOOKED_AGAIN)],
        [status("expired"), snapshot("expired", opened=True, at=EXPIRY), *paid(LATER)],
        [status("expired"), snapshot("open"), *paid(NOW)],
    ],
)
def test_signature_after_a_cancellation_or_an_expiry_is_no_contradiction(reports: list[Report]) -> None:
    """Xumm takes a late signature on purpose: nothing is flagged."""
    state, _, _ = live(*reports)

    assert ("validated", 0) == (state.resolved, state.flags)


def test_cancellation_takes_a_second_look() -> None:
    """One of a payload that nobody was seen to open is looked at again a minute after it was first known."""
    _, _, (asked, looked, over) = live(request("cancelled"), snapshot("cancelled"), deadline(at=LOOKED_AGAIN))

    assert (Task(kind="fetch"),) == asked.tasks
    assert (Wait(), (Task(kind="deadline", due=SECOND_LOOKUP),)) == (looked.step, looked.tasks)
    assert (Task(kind="fetch"),) == over.tasks


def test_cancellation_of_an_opened_payload_waits_out_the_grace() -> None:
    """Whoever has it on screen may still sign, as long as after an expiry."""
    _, _, (*_, looked) = live(status("opened"), snapshot("cancelled", opened=True))

    wait = EXPIRY + POLICY.grace - NOW + timedelta(seconds=30)
    assert (Wait(), (Task(kind="deadline", due=wait),)) == (looked.step, looked.tasks)


def test_webhook_asks_anew_where_the_api_had_not_shown_what_a_socket_said() -> None:
    """The fetch that the socket caused may be waiting for long; one that was not answered yet is not doubled."""
    _, _, (*_, doubted) = live(status("signed"), snapshot("open"), webhook())
    _, _, (*_, ordinary) = live(status("signed"), webhook())

    assert (Task(kind="fetch"),) == doubted.tasks
    assert () == ordinary.tasks


@pytest.mark.parametrize(
    ("claim", "patience"),
    [
        (status("signed"), UNVERIFIED_PATIENCE),
        (status("rejected"), UNVERIFIED_PATIENCE),
        (status("expired"), UNVERIFIED_PATIENCE),
        (webhook(), VERIFIED_PATIENCE),
    ],
)
def test_word_that_the_api_never_bears_out_lapses(claim: Report, patience: timedelta) -> None:
    """It is looked up for a while, for longer if it was signed; then the payload is as open as the API says."""
    late = NOW + timedelta(days=2)
    _, _, (_, early, lapsed) = live(
        claim,
        snapshot("open", at=NOW + patience - timedelta(seconds=1), expires_at=late),
        snapshot("open", at=NOW + patience, expires_at=late),
    )

    assert (Fetch(), Rest()) == (early.step, lapsed.step)
    assert "deadline" in {task.kind for task in lapsed.tasks}


def test_signature_that_follows_a_refuted_one_is_late() -> None:
    """A payload that was published as rejected turns out signed, as a socket had said long before."""
    _, events, (*_, rejected, signed) = live(
        status("signed"), snapshot("rejected", at=LOOKED_AGAIN), snapshot(at=LATER)
    )

    assert (Flag.OUTCOMES_DISAGREE, Flag.LATE_OUTCOME) == (rejected.raised, signed.raised)
    assert 1 == sum(event.startswith("resolve.") for event in events)


def test_signature_asks_for_a_fetch_once() -> None:
    """The first report of a signature makes a fetch due, its repetition does not."""
    _, _, (first, second) = live(webhook(), webhook())

    assert (Task(kind="fetch"),) == first.tasks
    assert () == second.tasks
    assert Fetch() == second.step


def test_submitted_transaction_asks_for_a_check() -> None:
    """A fetched signature that was submitted makes a ledger check due."""
    _, _, (_, fetched) = live(webhook(), snapshot())

    assert (Task(kind="check"),) == fetched.tasks


@pytest.mark.parametrize(
    "report",
    [snapshot(**MISSING), snapshot(signature=None), sign_in(signature=None), sign_in(signature=FOREIGN)],
)
def test_unproven_signature_is_fetched_again(report: Report) -> None:
    """Nothing rests on it, whatever a ledger says; the fetch goes on, and a ledger's answer asks for one."""
    _, events, (*_, fetched, checked) = live(webhook(), report, ledger(txid=None))

    assert (Fetch(), Fetch(), (Task(kind="fetch"),)) == (fetched.step, checked.step, checked.tasks)
    assert ["sign.signed"] == events


def test_unknown_dispatch_result_does_not_delay_the_check() -> None:
    """Transaction and network suffice; while one of them is missing, the payload is fetched again."""
    _, _, (_, without, known) = live(webhook(), snapshot(network=None), snapshot(at=LATER))

    assert (Fetch(), Check(), (Task(kind="check"),)) == (without.step, known.step, known.tasks)


def test_expiry_becomes_a_deadline() -> None:
    """Once the expiry is known, the payload is looked up a little after it."""
    _, _, (created, _, expired) = live(
        request("created", expires_at=EXPIRY), status("opened"), deadline(at=EXPIRY + timedelta(seconds=30))
    )

    assert (Task(kind="deadline", due=timedelta(minutes=10, seconds=30)),) == created.tasks
    assert (Task(kind="poll"),) == expired.tasks


def test_opened_payload_waits_out_its_grace() -> None:
    """An expired payload that had been opened is looked up again when nobody can sign it any more."""
    _, _, (_, fetched) = live(status("opened"), snapshot("expired", opened=True, at=EXPIRY))

    assert (Task(kind="deadline", due=POLICY.grace + timedelta(seconds=30)),) == fetched.tasks


def test_settlement_covers_what_can_meet() -> None:
    """Every claim meets every evidence in the table, and each resolve name can be reached."""
    names = {step.name for step in SETTLEMENT.values() if isinstance(step, Resolve)}

    assert {(claim, evidence) for claim in get_args(ReportedEnd) for evidence in get_args(Evidence)} == set(SETTLEMENT)
    assert set(get_args(ResolveName)) == names


def test_each_sign_event_has_its_row() -> None:
    """Every sign event of the schemas is announced by exactly one fact."""
    assert sorted(get_args(SignName)) == sorted(row.event for row in FACTS.values())


RELEASED = FlagsReleased(app="shop", application_uuid=APPLICATION, payload=PAYLOAD, at=NOW)


def due(because: Any = "gap", *, at: datetime = NOW) -> LookupDue:
    return LookupDue(app="shop", application_uuid=APPLICATION, payload=PAYLOAD, at=at, reason=because)


RESOLVED: dict[ResolveName, list[Report]] = {
    "signed": [sign_in()],
    "validated": [snapshot(), ledger()],
    "failed": [snapshot(), ledger("never_validated")],
    "rejected": [snapshot("rejected")],
    "cancelled": [snapshot("cancelled"), snapshot("cancelled", at=LOOKED_AGAIN)],
    "expired": [snapshot("expired", at=EXPIRY)],
}


@pytest.mark.parametrize(
    ("resolved", "report", "expected"),
    [
        ("signed", webhook(txid=None), 0),
        ("signed", status("signed"), 0),
        ("signed", webhook(signed=False), Flag.OUTCOMES_DISAGREE),
        ("signed", snapshot("rejected"), Flag.OUTCOMES_DISAGREE),
        ("validated", webhook(), 0),
        ("validated", status("rejected"), Flag.OUTCOMES_DISAGREE),
        ("validated", request("cancelled"), 0),
        ("failed", webhook(), 0),
        ("failed", webhook(signed=False), Flag.OUTCOMES_DISAGREE),
        ("rejected", webhook(signed=False), 0),
        ("rejected", webhook(), Flag.LATE_OUTCOME),
        ("rejected", snapshot(), Flag.LATE_OUTCOME),
        ("rejected", status("signed"), Flag.OUTCOMES_DISAGREE),
        ("cancelled", webhook(), Flag.LATE_OUTCOME),
        ("cancelled", webhook(signed=False), Flag.LATE_OUTCOME),
        ("cancelled", status("expired"), 0),
        ("expired", webhook(), Flag.LATE_OUTCOME),
        ("expired", snapshot(), Flag.LATE_OUTCOME),
        ("expired", snapshot("rejected"), Flag.LATE_OUTCOME),
        ("expired", status("signed"), Flag.OUTCOMES_DISAGREE),
        ("expired", status("opened"), 0),
        ("expired", status("alive"), 0),
        ("expired", request("created"), 0),
        ("expired", request("cancelled"), 0),
        ("expired", snapshot("expired", at=LATER), 0),
        ("expired", snapshot("open", opened=True, at=LATER), 0),
        ("expired", snapshot("cancelled", at=LATER), 0),
        ("expired", ledger(), 0),
        ("expired", deadline(), 0),
        ("expired", due(), 0),
        ("expired", abandoned(), Flag.ABANDONED),
    ],
)
def test_answer_that_is_told_after_another_end(resolved: ResolveName, report: Report, expected: Flag | int) -> None:
    """It is late where nobody had answered, and else a contradiction, as a socket's word always is."""
    before, _, _ = live(*RESOLVED[resolved])
    told = apply(before, report, POLICY)

    assert (resolved, 0) == (before.resolved, before.flags)
    assert (expected, (), ()) == (
        told.raised,
        told.tasks,
        tuple(a for a in told.events if a.family == "resolve"),
    )


def test_repeated_word_raises_no_flag_again() -> None:
    """A human released it; the socket only repeats what it had said, but a webhook is news."""
    before, _, _ = live(status("signed"), snapshot("expired", opened=True, at=LATER), RELEASED)

    assert ("expired", 0) == (before.resolved, before.flags)
    assert [0, Flag.LATE_OUTCOME] == [apply(before, report, POLICY).raised for report in (status("signed"), webhook())]


def test_times() -> None:
    """Xumm's clock may be half a minute late, its webhook 23 minutes; untold, a payload expires after four hours."""
    assert (30, 23 * 60, 4 * 3600, 3600) == (
        DEADLINE_SLACK.total_seconds(),
        WEBHOOK_PATIENCE.total_seconds(),
        DEFAULT_EXPIRY.total_seconds(),
        LONGEST_PAUSE.total_seconds(),
    )


def test_task_is_due_at_once_unless_it_says_otherwise() -> None:
    """Nothing waits without a reason."""
    assert timedelta(0) == Task(kind="fetch").due


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([webhook()], True),
        ([webhook(), webhook()], False),
        ([status("opened")], True),
        ([status("pre_signed"), status("opened")], False),
        ([webhook(), status("opened")], False),
        ([webhook(), abandoned()], True),
        ([due()], True),
        ([due(), due()], False),
        ([snapshot("rejected"), webhook(signed=False)], False),
    ],
)
def test_news(reports: list[Report], *, expected: bool) -> None:
    """An event, a task or a flag is news; a fact that nobody is told of is none."""
    assert expected == live(*reports)[2][-1].news


def test_nothing_is_raised_by_default() -> None:
    """A transition says what it changed, and nothing more."""
    assert ((), (), 0) == Transition(UNKNOWN, Rest())[2:]


FETCH, POLL, CHECK = ((Task(kind=kind),) for kind in ("fetch", "poll", "check"))


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([webhook(), abandoned(), RELEASED], FETCH),
        ([status("opened"), RELEASED], FETCH),
        ([*RESOLVED["expired"], RELEASED], ()),
        ([status("expired")], POLL),
        ([status("expired"), due()], POLL),
        ([status("expired"), due(), due()], ()),
        ([webhook(), due()], ()),
        ([webhook(), snapshot(), due()], ()),
        ([webhook(), snapshot(), status("pre_signed")], ()),
        ([webhook(), snapshot(), status("alive", expires_at=EXPIRY)], ()),
        ([webhook(), snapshot(), ledger("pending")], ()),
        ([webhook(), snapshot(), snapshot()], ()),
        ([webhook(), snapshot(), deadline()], FETCH),
        ([status("expired"), deadline()], POLL),
        ([status("opened"), snapshot("expired", opened=True, at=EXPIRY), status("pre_signed")], ()),
        ([snapshot("open", expires_at=None)], (Task(kind="deadline", due=timedelta(hours=4)),)),
        ([status("alive")], ()),
        ([status("alive", expires_at=EXPIRY)], (Task(kind="deadline", due=EXPIRY - NOW + timedelta(seconds=30)),)),
        ([status("alive", expires_at=EXPIRY), status("alive", expires_at=EXPIRY)], ()),
        (
            [status("pre_signed", expires_at=EXPIRY)],
            (
                Task(kind="deadline", due=EXPIRY - NOW + timedelta(seconds=30)),
                Task(kind="deadline", due=timedelta(minutes=23)),
            ),
        ),
        ([snapshot("open"), status("dispatched")], (Task(kind="deadline", due=timedelta(minutes=23)),)),
        ([snapshot("open"), status("opened")], ()),
        ([snapshot("open", at=EXPIRY + timedelta(seconds=10))], (Task(kind="deadline", due=timedelta(seconds=30)),)),
        ([status("signed"), snapshot("open"), webhook()], FETCH),
        ([status("signed"), snapshot("open"), status("signed")], ()),
        ([status("signed"), snapshot("open"), status("rejected")], FETCH),
        ([status("signed"), snapshot("open"), status("pre_signed")], ()),
        ([snapshot("open"), status("signed", at=NOW + timedelta(seconds=1)), webhook()], ()),
        ([status("expired"), webhook()], FETCH),
        ([status("expired"), snapshot("open")], ()),
    ],
)
def test_what_is_looked_up_next(reports: list[Report], expected: tuple[Task, ...]) -> None:
    """By what is at hand, and by what the last report adds to it."""
    assert expected == live(*reports)[2][-1].tasks


def test_end_that_is_still_reversible_is_waited_for_again() -> None:
    """Each answer that is not final yet asks to be told when it will be."""
    _, _, (*_, first, second) = live(
        status("opened"), snapshot("cancelled", opened=True), snapshot("cancelled", opened=True, at=LOOKED_AGAIN)
    )

    assert [EXPIRY + POLICY.grace - at + timedelta(seconds=30) for at in (NOW, LOOKED_AGAIN)] == [
        task.due for task in (*first.tasks, *second.tasks)
    ]


SIGN_INS = [sign_in(), sign_in(signature=FOREIGN)]
REPORTS: list[Report] = [
    webhook(),
    webhook(signed=False),
    webhook(txid=None),
    webhook(token=ReportedToken(value="6f2c1d2e-7f0c-4b1e-9d53-3a6d5a0c9a41", issued_at=NOW)),
    *(status(kind) for kind in ("opened", "pre_signed", "dispatched", "signed", "rejected", "expired", "alive")),
    request("created", expires_at=EXPIRY),
    request("cancelled"),
    snapshot("open"),
    snapshot("open", opened=True),
    snapshot("expired", at=EXPIRY),
    snapshot("expired", opened=True, at=EXPIRY),
    snapshot("expired", opened=True, at=LATER),
    snapshot("rejected"),
    snapshot("cancelled"),
    snapshot("cancelled", at=LATER),
    snapshot(),
    snapshot(network=None),
    snapshot(network="TESTNET"),
    snapshot(txid=OTHER_TXID),
    snapshot(application="8f5b1d3a-0000-4000-8000-00000000dead"),
    *SIGN_INS,
    snapshot(**UNREADABLE),
    snapshot(**MISSING),
    snapshot(**FORGED),
    snapshot(signature=FOREIGN),
    snapshot(networks_disagree=True),
    ledger("pending"),
    ledger(),
    ledger(result="tecPATH_DRY"),
    ledger("never_validated"),
    ledger(txid=OTHER_TXID),
    deadline(),
    deadline(at=LATER),
    abandoned(),
]
any_reports = st.lists(st.sampled_from([report for report in REPORTS if report not in SIGN_INS]), max_size=12)
"""Of one payload, which is either a payment or a sign-in."""

ORDERLY = ~(Flag.LATE_OUTCOME | Flag.OUTCOMES_DISAGREE | Flag.SIGNATURE_UNREADABLE)
"""An outcome is late, or refutes what was said before, or cannot be read and is all there is, only in some orders."""


@given(reports=any_reports, data=st.data())
def test_order_does_not_change_what_is_known(reports: list[Report], data: Any) -> None:
    """Any permutation of the same reports ends in the same facts and the same contradictions."""
    state, _, _ = live(*reports)
    shuffled, _, _ = live(*data.draw(st.permutations(reports)))

    assert state.facts == shuffled.facts
    assert state.flags & ORDERLY == shuffled.flags & ORDERLY


TRUTHS: list[tuple[list[Report], str]] = [
    ([status("opened"), status("expired"), webhook(), snapshot(), ledger("pending"), ledger()], "validated"),
    ([webhook(), status("signed"), snapshot(), ledger(result="tecPATH_DRY")], "failed"),
    ([webhook(txid=None), status("opened"), sign_in()], "signed"),
    ([webhook(signed=False), status("rejected"), snapshot("rejected")], "rejected"),
    ([request("created"), request("cancelled"), snapshot("cancelled")], "cancelled"),
    ([status("expired"), snapshot("open"), snapshot("expired", at=EXPIRY)], "expired"),
    ([request("cancelled"), snapshot("cancelled"), *paid(NOW)], "validated"),
    ([status("rejected"), status("expired"), *paid(NOW)], "validated"),
]
SECOND_LOOKS: dict[str, list[Report]] = {"cancelled": [snapshot("cancelled", at=LATER)]}


@given(truth=st.sampled_from(TRUTHS), data=st.data())
def test_truth_wins_in_any_order(truth: tuple[list[Report], str], data: Any) -> None:
    """Honest reports and lies, in any order and with repetitions, end in the one resolve event that is true."""
    reports, expected = truth
    repeated = data.draw(st.permutations(reports + data.draw(st.lists(st.sampled_from(reports), max_size=4))))

    state, events, _ = live(*repeated, *SECOND_LOOKS.get(expected, []))

    assert expected == state.resolved
    assert [f"resolve.{expected}"] == [event for event in events if event.startswith("resolve.")]
    assert len(events) == len(set(events))


class AnyStory(RuleBasedStateMachine):
    """One payload under any reports at all, true or not."""

    @initialize()
    def begin(self) -> None:
        self.state, self.previous, self.events = UNKNOWN, UNKNOWN, list[str]()
        self.transition: Transition | None = None

    @rule(report=st.sampled_from(REPORTS))
    def hear(self, report: Report) -> None:
        self.previous = self.state
        self.transition = apply(self.state, report, POLICY)
        self.state = self.transition.state
        self.events += [f"{a.family}.{a.name}" for a in self.transition.events]

    @invariant()
    def no_fact_is_taken_back(self) -> None:
        lost = self.previous.facts & ~self.state.facts
        assert lost in {Fact(0), Fact.EXPIRED}
        assert not lost or self.state.facts & ENDED

    @invariant()
    def no_flag_is_taken_back(self) -> None:
        assert Flag(0) == self.previous.flags & ~self.state.flags

    @invariant()
    def one_resolve_event_at_most(self) -> None:
        resolved = [event for event in self.events if event.startswith("resolve.")]
        assert ([] if self.state.resolved is None else [f"resolve.{self.state.resolved}"]) == resolved

    @invariant()
    def each_sign_event_once(self) -> None:
        assert len(self.events) == len(set(self.events))
        assert len(self.events) == self.state.sequence

    @invariant()
    def nothing_is_resolved_without_proof(self) -> None:
        if self.state.resolved is not None:
            assert self.state.snapshot is not None
        if self.state.resolved in {"signed", "validated"}:
            assert self.state.snapshot.proven
        if self.state.resolved == "validated":
            assert self.state.ledger is not None
            assert self.state.ledger.txid == self.state.snapshot.txid

    @invariant()
    def the_same_report_twice_is_no_news(self) -> None:
        if self.transition is not None and not isinstance(self.transition.step, Rest | Stop):
            assert self.state.sequence >= self.previous.sequence


TestAnyStory = AnyStory.TestCase
