"""When a payload is settled: claim, evidence, and what the two call for."""

from datetime import timedelta
from typing import Any

import pytest

from processor.core.application import PayloadPolicy
from processor.core.payload.settlement import (
    SECOND_LOOKUP,
    SETTLEMENT,
    UNVERIFIED_PATIENCE,
    VERIFIED_PATIENCE,
    Check,
    Fetch,
    Resolve,
    Rest,
    Step,
    Stop,
    Wait,
    evidence_of,
    final_from,
    next_step,
    reported_end_of,
)
from processor.core.payload.state import EndNotice, Fact, Flag, PayloadState
from processor.core.proof.evidence import SignatureDoubt
from tests.core.payload.test_lifecycle import FOREIGN, FORGED, MISSING, UNREADABLE
from tests.core.payloads import EXPIRY, NOW, OTHER_TXID, POLICY, UNKNOWN, ledger, sign_in, snapshot

SECOND = timedelta(seconds=1)
LEARNED = EndNotice("webhook", NOW)


def state(facts: Fact = Fact(0), **changes: Any) -> PayloadState:
    return UNKNOWN._replace(facts=int(facts), **changes)


def test_patience() -> None:
    """A second look comes after a minute; a socket's word is looked up for 30 minutes, a webhook's for 12 hours."""
    assert (timedelta(minutes=1), timedelta(minutes=30), timedelta(hours=12)) == (
        SECOND_LOOKUP,
        UNVERIFIED_PATIENCE,
        VERIFIED_PATIENCE,
    )


@pytest.mark.parametrize(
    ("claim", "evidence", "step"),
    [
        ("none", "none", Rest()),
        ("expired", "none", Fetch()),
        ("ended", "none", Fetch()),
        ("none", "reversible", Wait()),
        ("expired", "reversible", Wait()),
        ("ended", "reversible", Fetch()),
        *(
            (claim, evidence, step)
            for claim in ("none", "expired", "ended")
            for evidence, step in {
                "unproven": Fetch(),
                "unreadable": Stop(),
                "untransmitted": Fetch(),
                "submitted": Check(),
                "signed_off_ledger": Resolve("signed"),
                "validated": Resolve("validated"),
                "failed_on_ledger": Resolve("failed", "ledger_result"),
                "never_validated": Resolve("failed", "never_validated"),
                "wrong_network": Resolve("failed", "wrong_network"),
                "rejected": Resolve("rejected"),
                "cancelled": Resolve("cancelled"),
                "expired": Resolve("expired"),
            }.items()
        ),
    ],
)
def test_table(claim: Any, evidence: Any, step: Step) -> None:
    """Where there is a proof no claim withholds it; where there is none a claim makes us look."""
    assert step == SETTLEMENT[claim, evidence]


def test_nothing_is_done_for_what_is_settled() -> None:
    """A flagged payload is a human's, a resolved one is done with; an unknown one rests."""
    assert Stop() == next_step(state(Fact.SIGNED, flags=int(Flag.ABANDONED)), POLICY)
    assert Stop() == next_step(state(Fact.SIGNED, flags=int(Flag.LATE_OUTCOME), resolved="expired"), POLICY)
    assert Rest() == next_step(state(Fact.SIGNED, resolved="signed"), POLICY)
    assert Rest() == next_step(state(), POLICY)
    assert Fetch() == next_step(state(Fact.SIGNED), POLICY)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Fact(0), "none"),
        (Fact.CREATED | Fact.OPENED | Fact.PRE_SIGNED | Fact.DISPATCHED, "none"),
        (Fact.EXPIRED, "expired"),
        (Fact.CANCELLED, "ended"),
        (Fact.REJECTED, "ended"),
        (Fact.SIGNED, "ended"),
        (Fact.SIGNED | Fact.EXPIRED, "ended"),
    ],
)
def test_claim(facts: Fact, expected: str) -> None:
    """A deed weighs more than an expiry; what happens before the end claims nothing."""
    assert expected == reported_end_of(state(facts))
    assert expected == reported_end_of(state(facts, snapshot=snapshot("open").snapshot))


@pytest.mark.parametrize(
    ("outcome", "facts", "expected"),
    [
        ("signed", Fact.SIGNED, "none"),
        ("rejected", Fact.REJECTED, "none"),
        ("cancelled", Fact.CANCELLED, "none"),
        ("expired", Fact.EXPIRED, "none"),
        ("rejected", Fact.REJECTED | Fact.SIGNED, "ended"),
        ("cancelled", Fact.CANCELLED | Fact.EXPIRED, "expired"),
    ],
)
def test_claim_is_what_the_api_does_not_show(outcome: str, facts: Fact, expected: str) -> None:
    """What it shows is no claim any more."""
    assert expected == reported_end_of(state(facts, snapshot=snapshot(outcome).snapshot))


@pytest.mark.parametrize(
    ("facts", "patience"),
    [
        (Fact.SIGNED, UNVERIFIED_PATIENCE),
        (Fact.SIGNED | Fact.DELIVERED, VERIFIED_PATIENCE),
    ],
)
def test_claim_lapses(facts: Fact, patience: timedelta) -> None:
    """When Xumm's API still shows otherwise so long after it was first heard of, and not a second before."""
    early, late = (snapshot("open", at=NOW + patience - left).snapshot for left in (SECOND, timedelta(0)))

    assert "ended" == reported_end_of(state(facts, end_notice=LEARNED, snapshot=early))
    assert "none" == reported_end_of(state(facts, end_notice=LEARNED, snapshot=late))
    assert "ended" == reported_end_of(state(facts, end_notice=None, snapshot=late))


@pytest.mark.parametrize(
    ("changes", "seen", "expected"),
    [
        ({}, None, "submitted"),
        ({}, ledger("pending"), "submitted"),
        ({}, ledger(txid=OTHER_TXID), "submitted"),
        ({}, ledger("never_validated"), "never_validated"),
        ({}, ledger("never_validated", txid=OTHER_TXID), "submitted"),
        ({}, ledger(), "validated"),
        ({}, ledger(result="tecPATH_DRY"), "failed_on_ledger"),
        ({"signature": FOREIGN}, ledger(), "validated"),
        ({"network": None}, ledger(), "untransmitted"),
        ({"txid": None}, ledger(txid=None), "untransmitted"),
        ({"network": "TESTNET"}, ledger(), "wrong_network"),
        ({"network": "TESTNET"} | UNREADABLE, ledger(), "wrong_network"),
        (UNREADABLE, ledger(), "unreadable"),
        (MISSING, ledger(), "unproven"),
        (FORGED, ledger(), "unproven"),
        ({"signature": None}, ledger(), "unproven"),
        ({"submit": False}, None, "signed_off_ledger"),
        ({"submit": False, "network": None, "txid": None}, None, "signed_off_ledger"),
        ({"tx_type": "SignIn"}, None, "signed_off_ledger"),
        ({"tx_type": "PaymentChannelAuthorize"}, None, "signed_off_ledger"),
        ({"submit": False, "signature": FOREIGN}, None, "unproven"),
        ({"submit": False} | UNREADABLE, None, "unreadable"),
    ],
)
def test_evidence_of_a_signature(changes: dict[str, Any], seen: Any, expected: str) -> None:
    """Proven off the ledger by itself, on it by the ledger of the network that the operator expects."""
    known = state(snapshot=snapshot(**changes).snapshot, ledger=None if seen is None else seen.ledger)

    assert expected == evidence_of(known, POLICY)


def test_expected_network_is_the_operator_s() -> None:
    """A payment on a test network counts for whoever expects it there."""
    known = state(snapshot=snapshot(network="TESTNET").snapshot, ledger=ledger().ledger)

    assert "validated" == evidence_of(known, PayloadPolicy(network="TESTNET"))


def test_nothing_is_proven_before_an_end() -> None:
    """Neither unasked nor while Xumm's API shows the payload as open."""
    assert "none" == evidence_of(state(), POLICY)
    assert "none" == evidence_of(state(snapshot=snapshot("open").snapshot), POLICY)


@pytest.mark.parametrize("outcome", ["rejected", "cancelled", "expired"])
def test_end_without_a_signature_is_reversible_until_it_is_final(outcome: str) -> None:
    """From the moment that `final_from` names, an answer counts, and not a second earlier."""
    opened = state(Fact.OPENED | Fact.SIGNED, end_notice=LEARNED, snapshot=snapshot(outcome).snapshot)
    final = final_from(opened, snapshot(outcome).snapshot, POLICY)
    early, late = (snapshot(outcome, at=final - left).snapshot for left in (SECOND, timedelta(0)))

    assert "reversible" == evidence_of(opened._replace(snapshot=early), POLICY)
    assert outcome == evidence_of(opened._replace(snapshot=late), POLICY)


FETCHED = NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("outcome", "facts", "changes", "expected"),
    [
        ("rejected", Fact.REJECTED, {}, FETCHED),
        ("rejected", Fact.REJECTED | Fact.OPENED, {}, FETCHED),
        ("rejected", Fact.REJECTED | Fact.SIGNED, {}, NOW + SECOND_LOOKUP),
        ("rejected", Fact.REJECTED | Fact.SIGNED, {"end_notice": None}, FETCHED + SECOND_LOOKUP),
        ("cancelled", Fact.CANCELLED, {}, NOW + SECOND_LOOKUP),
        ("cancelled", Fact.CANCELLED, {"end_notice": None}, FETCHED + SECOND_LOOKUP),
        ("cancelled", Fact.CANCELLED | Fact.OPENED, {}, EXPIRY + POLICY.grace),
        ("cancelled", Fact.CANCELLED | Fact.OPENED, {"expires_at": None}, NOW + POLICY.grace),
        ("expired", Fact.EXPIRED, {}, FETCHED),
        ("expired", Fact.EXPIRED | Fact.OPENED, {}, EXPIRY + POLICY.grace),
        ("expired", Fact.EXPIRED | Fact.OPENED, {"expires_at": None, "end_notice": None}, FETCHED + POLICY.grace),
    ],
)
def test_when_an_end_without_a_signature_is_final(
    outcome: str, facts: Fact, changes: dict[str, Any], expected: Any
) -> None:
    """Whoever opened it may sign until the grace is over; what may be followed by a signature is looked at twice."""
    known = state(facts, **{"end_notice": LEARNED, "expires_at": EXPIRY} | changes)

    assert expected == final_from(known, snapshot(outcome, at=FETCHED).snapshot, POLICY)


@pytest.mark.parametrize(
    ("reason", "disproves"), [("missing", False), ("unreadable", False), ("forged", True), ("differs", True)]
)
def test_doubt_disproves_what_was_read(reason: Any, *, disproves: bool) -> None:
    """What is missing may come, and what is unreadable needs a human; neither speaks against a signature."""
    assert disproves == SignatureDoubt(field="response.hex", reason=reason).disproves


def test_ledger_that_shows_no_success() -> None:
    """Only one result of a validated transaction is a success."""
    assert [True, False, False] == [
        each.ledger.succeeded
        for each in (ledger(), ledger(result="tecPATH_DRY"), ledger("pending", result="tesSUCCESS"))
    ]


def test_sign_in_never_goes_to_a_ledger() -> None:
    """Whatever the wallet was told to do with it."""
    assert [False, False, True, False] == [
        each.snapshot.on_ledger
        for each in (
            sign_in(),
            snapshot(tx_type="SignIn"),
            snapshot(),
            snapshot(submit=False),
        )
    ]
