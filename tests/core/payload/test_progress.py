"""How far a sign request is, as whoever waits for it is told."""

from typing import Any, get_args

import pytest

from processor.core.payload.progress import Progress, progress, sign_in
from processor.core.payload.state import Fact, PayloadState
from processor.core.reports.report import Report
from schemas.events import ResolveName
from tests.core.payload.test_lifecycle import FOREIGN, live
from tests.core.payloads import ACCOUNT, TXID, UNKNOWN, ledger, snapshot, status, webhook
from tests.core.payloads import sign_in as signed_in

SIGNED = snapshot().snapshot
SIGNED_IN = signed_in().snapshot


def state(facts: Fact = Fact(0), **changes: Any) -> PayloadState:
    return UNKNOWN._replace(facts=int(facts), **changes)


def test_nothing_is_told_of_an_unknown_payload() -> None:
    """Nothing was reported, and it has no outcome."""
    assert Progress((), None, None, None) == progress(None)


def test_reports_are_told_in_the_order_of_a_life() -> None:
    """Every fact that events announce, but for the user token, which is nobody's business."""
    everything = state(Fact(1023))
    expected = (
        "created",
        "opened",
        "pre_signed",
        "dispatched",
        "expired",
        "cancelled",
        "rejected",
        "signed",
    )

    assert Progress(expected, None, None, None) == progress(everything)
    assert ("opened",) == progress(state(Fact.OPENED | Fact.TOKEN_ISSUED | Fact.DELIVERED)).reported


def test_unproven_signature_tells_nobody() -> None:
    """While the outcome is not proven, neither account nor transaction is told, though both are claimed."""
    claimed, _, _ = live(webhook(), snapshot())

    assert Progress(("opened", "signed"), None, None, None) == progress(claimed)


@pytest.mark.parametrize("name", get_args(ResolveName))
def test_account_and_transaction_are_told_of_proven_signatures(name: ResolveName) -> None:
    """They are told where the outcome is ``signed`` or ``validated``, and with no other."""
    expected = (ACCOUNT, TXID) if name in {"signed", "validated"} else (None, None)
    told = progress(state(Fact.SIGNED, resolved=name, snapshot=SIGNED))

    assert Progress(("signed",), name, *expected) == told


@pytest.mark.parametrize("evidence", [None, signed_in(signature=FOREIGN).snapshot, snapshot(signature=None).snapshot])
def test_outcome_without_its_proof_tells_nobody(evidence: Any) -> None:
    """Where the proof is not at hand, the outcome stands alone."""
    assert Progress((), "signed", None, None) == progress(state(resolved="signed", snapshot=evidence))


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([], "pending"),
        ([webhook(txid=None)], "pending"),
        ([webhook(txid=None), signed_in(signature=None)], "pending"),
        ([webhook(txid=None), signed_in()], "signed"),
        ([webhook(signed=False), snapshot("rejected")], "failed"),
        ([status("expired"), snapshot("expired", at=snapshot().snapshot.expires_at)], "failed"),
        ([webhook(), snapshot(), ledger()], "failed"),
        ([webhook(), snapshot(), ledger(result="tecPATH_DRY")], "failed"),
    ],
)
def test_sign_in_succeeds_with_a_proven_signature_alone(reports: list[Report], expected: str) -> None:
    """A payment, valid as it may be, signs nobody in."""
    assert expected == sign_in(live(*reports)[0] if reports else None)


def test_sign_in_needs_an_account() -> None:
    """An outcome whose signature is not at hand signs nobody in."""
    assert "failed" == sign_in(state(resolved="signed", snapshot=None))
    assert "signed" == sign_in(state(resolved="signed", snapshot=SIGNED_IN))
