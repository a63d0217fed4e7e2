from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from processor.core.state import Fact, Flag, PayloadState
from processor.store.knowledge import row_of, state_of
from schemas.text import CustomMeta
from tests.store.samples import APP, APPLICATION, NOW, TXID, payload

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]))
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts.filter(bool), inner, max_size=3),
    max_leaves=8,
)
metas = st.none() | st.builds(CustomMeta, identifier=texts, blob=json, instruction=texts)


@given(metas, st.none() | st.just(TXID), st.integers(0, 511), st.integers(0, 31), st.none() | st.just(NOW))
def test_nothing_is_lost(
    meta: CustomMeta | None, txid: str | None, facts: int, flags: int, expires_at: datetime | None
) -> None:
    """A state is read from its row as it was written, whatever JSON an application attached to the payload."""
    state = PayloadState(
        app=APP,
        application=APPLICATION,
        payload=payload(1),
        facts=Fact(facts),
        flags=Flag(flags),
        txid=txid,
        expires_at=expires_at,
        custom_meta=None if meta is None else meta.model_dump_json().encode(),
    )
    again = state_of(row_of(state))

    assert state == again
