"""The answer of Xumm's API to ``GET payload/<uuid>``, to a report, with the signature checked."""

from datetime import datetime

from processor.core.application import Application
from processor.core.errors import NormalizeError
from processor.core.proof.evidence import SignatureDoubt, Snapshot, SnapshotOutcome
from processor.core.proof.networks import network_names
from processor.core.proof.signed_blob import SignatureClaim, SignedTransaction, prove
from processor.core.reports.custom_meta import encode_custom_meta
from processor.core.reports.parsing import parse_model
from processor.core.reports.report import ReportedToken, SnapshotReport
from schemas.payload import Payload
from schemas.text import aware


def snapshot_report(application: Application, payload: str, body: bytes, at: datetime) -> SnapshotReport:
    """The report in the answer for ``payload``. Takes 0.5 ms of CPU for a signature. Raises `NormalizeError`."""
    answer = parse_model(Payload, body)
    if not answer.meta.exists or answer.meta.uuid != payload:
        raise NormalizeError("meta.uuid is not the payload that was asked for, or it does not exist")
    token = answer.application.issued_user_token
    return SnapshotReport(
        app=application.name,
        application_uuid=application.uuid,
        payload=payload,
        at=at,
        snapshot=_build_snapshot(answer, at),
        token=None if token is None else ReportedToken(value=token),
        custom_meta=encode_custom_meta(answer.custom_meta),
    )


def _build_snapshot(answer: Payload, at: datetime) -> Snapshot:
    meta, request, response = answer.meta, answer.payload, answer.response
    outcome = _outcome(answer)
    if outcome == "signed" and response.account is None:
        raise NormalizeError("response.account is missing from a signed payload")
    if outcome == "expired" and request.expires_at is None:
        raise NormalizeError("payload.expires_at is missing from an expired payload")
    proof = prove(_build_claim(answer)) if outcome == "signed" else None
    signed = proof if isinstance(proof, SignedTransaction) else None
    signed_for = None if signed is None else signed.network_id
    networks = network_names(response.nodetypes, (response.environment_networkid, signed_for))
    return Snapshot(
        application=answer.application.uuidv4,
        fetched_at=at,
        outcome=outcome,
        opened=meta.app_opened,
        tx_type=request.tx_type,
        submit=meta.submit and not meta.multisign and not (signed is not None and signed.cosigned),
        account=response.account if signed is None else signed.account,
        txid=response.txid,
        signature=None if signed is None else signed.signature,
        doubt=proof if isinstance(proof, SignatureDoubt) else None,
        last_ledger_sequence=None if signed is None else signed.last_ledger_sequence,
        network=next(iter(networks), None),
        networks_disagree=len(networks) > 1,
        resolved_at=aware(response.resolved_at),
        expires_at=aware(request.expires_at),
    )


def _build_claim(answer: Payload) -> SignatureClaim:
    response = answer.response
    return SignatureClaim(
        blob=response.hex,
        txid=response.txid,
        account=response.account,
        tx_type=answer.payload.tx_type,
        signer=response.signer,
        signer_pubkey=response.signer_pubkey,
        multisign_account=response.multisign_account,
        request=answer.payload.request_json,
        force_account=answer.meta.force_account is True,
        network=next(iter(network_names(response.nodetypes, (response.environment_networkid,))), None),
    )


def _outcome(answer: Payload) -> SnapshotOutcome:
    """The flags are not exclusive: a late signature or rejection counts, and leaves earlier flags set."""
    meta = answer.meta
    if meta.signed and not meta.resolved:
        raise NormalizeError("meta.signed contradicts meta.resolved")
    if meta.signed:
        return "signed"
    over = meta.cancelled or meta.expired
    if meta.resolved and (answer.response.resolved_at is not None or not over):
        return "rejected"
    if meta.cancelled:
        return "cancelled"
    return "expired" if over else "open"
