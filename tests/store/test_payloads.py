from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from processor.core.payload.state import Fact, Flag, PayloadState
from processor.core.proof.evidence import SignatureDoubt, Snapshot, VerifiedSignature
from processor.store.payloads import STATE, row_of, state_of
from schemas.text import CustomMeta
from tests.store.samples import APP, APPLICATION, NOW, TXID, payload

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]))
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts.filter(bool), inner, max_size=3),
    max_leaves=8,
)

OLD_SNAPSHOT = {
    "application": APPLICATION, "fetched_at": "2026-01-02T03:04:05+00:00", "outcome": "signed", "opened": True,
    "tx_type": "Payment", "submit": True, "account": "rwiETSee2wMz3SBnAG8hkMsCgvGy9LWbZ1", "txid": TXID,
    "last_ledger_sequence": 90, "network": "MAINNET", "resolved_at": None, "expires_at": None,
}  # fmt: skip
"""As it was stored before signatures were proven."""

metas = st.none() | st.builds(CustomMeta, identifier=texts, blob=json, instruction=texts)


accounts = st.none() | st.just("rwiETSee2wMz3SBnAG8hkMsCgvGy9LWbZ1")


@given(metas, st.none() | st.just(TXID), st.integers(0, 511), st.integers(0, 127), st.none() | st.just(NOW), accounts)
def test_nothing_is_lost(
    meta: CustomMeta | None, txid: str | None, facts: int, flags: int, expires_at: datetime | None, asked_of: str | None
) -> None:
    """A state is read from its row as it was written, whatever JSON an application attached to the payload."""
    state = PayloadState(
        app=APP,
        application_uuid=APPLICATION,
        payload=payload(1),
        facts=Fact(facts),
        flags=Flag(flags),
        txid=txid,
        expires_at=expires_at,
        custom_meta=None if meta is None else meta.model_dump_json().encode(),
        asked_of=asked_of,
    )
    again = state_of(row_of(state))

    assert state == again


def read(*knowledge: Any) -> PayloadState:
    """The state in a row that knows this."""
    row = row_of(PayloadState(app=APP, application_uuid=APPLICATION, payload=payload(1)))
    names = [column.name for column in STATE]
    stood = orjson.dumps(knowledge)
    return state_of([stood if name == "knowledge" else value for name, value in zip(names, row, strict=True)])


def test_row_that_names_nobody_who_was_asked_is_read() -> None:
    """What an earlier version learned is there, and the rest is unknown."""
    state = read(TXID, None, None, None, "webhook", 1_000_000, 2_000_000)

    assert state.end_notice is not None
    assert state.lookup_at is not None
    assert ("webhook", 1, 2, None) == (
        state.end_notice.source, state.end_notice.at.timestamp(), state.lookup_at.timestamp(), state.asked_of,
    )  # fmt: skip


def test_older_rows_are_read() -> None:
    """A snapshot of a version that proved no signature is one with an unproven signature."""
    state = read(TXID, None, OLD_SNAPSHOT, None)

    assert state.snapshot is not None
    assert (None, None, False, 90) == (
        state.snapshot.signature, state.snapshot.doubt, state.snapshot.proven, state.snapshot.last_ledger_sequence,
    )  # fmt: skip


def test_a_proven_signature_is_kept() -> None:
    """A verified signature and a doubt survive the way through the database."""
    old = TypeAdapter(Snapshot).validate_python(OLD_SNAPSHOT)
    proven = replace(old, signature=VerifiedSignature(account="rX", algorithm="multisign", unauthorised="rY"))
    doubted = replace(old, doubt=SignatureDoubt(field="response.hex", reason="missing"), networks_disagree=True)
    state = PayloadState(app=APP, application_uuid=APPLICATION, payload=payload(1))

    for snapshot in (proven, doubted):
        assert snapshot == state_of(row_of(state._replace(snapshot=snapshot))).snapshot
