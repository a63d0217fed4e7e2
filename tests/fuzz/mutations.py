"""Inputs that are nearly right: real ones with a few edits, of bytes or of JSON."""

import json
import math
from typing import Any, Final

from hypothesis import strategies as st

_DEEP: Final = "⟨deep⟩"
_BROKEN_TEXT: Final = st.sampled_from(
    ["", " ", "\0", "\ud800", "\udfff\ud800", "null", "undefined", "NaN", "a\n", "x" * 5_000]
)
_NUMBERS: Final = st.sampled_from(
    [0, -1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**400, 0.1, 1e308, -0.0, math.nan, math.inf, -math.inf]
)
ODD_VALUES: Final[st.SearchStrategy[Any]] = st.one_of(
    st.none(),
    st.booleans(),
    _NUMBERS,
    _BROKEN_TEXT,
    st.text(max_size=8),
    st.just(_DEEP),
    st.lists(_NUMBERS | _BROKEN_TEXT, max_size=2),
    st.dictionaries(_BROKEN_TEXT | st.text(max_size=8), _NUMBERS | _BROKEN_TEXT, max_size=2),
)
"""JSON values that a careful sender never sends, some of them no JSON at all."""


_MOST_EDITS: Final = 6
_EDIT_BYTES: Final = 12
_PLAN_BYTES: Final = 1 + _MOST_EDITS * _EDIT_BYTES


@st.composite
def edited_bytes(draw: st.DrawFn, seeds: list[bytes], pieces: list[bytes]) -> bytes:
    """One of ``seeds`` with up to six slices of it replaced, by any bytes or one of ``pieces``.

    All edits are read from one draw: a draw for each part of each edit takes longer than what is tested.
    """
    data = bytearray(draw(st.sampled_from(seeds)))
    plan = draw(st.binary(min_size=_PLAN_BYTES, max_size=_PLAN_BYTES))
    for start in range(1, 1 + plan[0] % (_MOST_EDITS + 1) * _EDIT_BYTES, _EDIT_BYTES):
        edit = plan[start : start + _EDIT_BYTES]
        at, length, (choice, is_piece) = int.from_bytes(edit[:2]) % (len(data) + 1), edit[2] % 17, divmod(edit[3], 2)
        data[at : at + length] = pieces[choice % len(pieces)] if is_piece else edit[4 : 4 + choice % 9]
    return bytes(data)


@st.composite
def edited_json(draw: st.DrawFn, seeds: list[Any]) -> bytes:
    """One of ``seeds`` as JSON, with up to three of its values replaced or renamed, and perhaps some of its bytes.

    What is put in may nest 3,000 levels deep, and may be no JSON, such as ``NaN``.
    """
    document = json.loads(json.dumps(draw(st.sampled_from(seeds))))
    for _ in range(draw(st.integers(0, 3))):
        document = _edited(draw, document)
    text = json.dumps(document, ensure_ascii=draw(st.booleans()), separators=(",", ":"))
    depth = draw(st.sampled_from([1, 90, 150, 250, 1_100, 3_000]))
    whole = text.replace(json.dumps(_DEEP), "[" * depth + "]" * depth).replace(f'"{_DEEP}"', "{}")
    data = whole.encode(errors="surrogatepass")
    return (
        draw(edited_bytes([data], [b'"', b"\\u0000", b"\\ud800", b"1e999", b"{", b"]", b"\xff"]))
        if draw(_RARELY)
        else data
    )


_RARELY: Final = st.sampled_from([False, False, False, True])


def _edited(draw: st.DrawFn, document: Any) -> Any:
    """``document`` with one value changed, anywhere in it."""
    if not isinstance(document, dict | list) or not document or draw(_RARELY):
        return draw(ODD_VALUES)
    if isinstance(document, list):
        at = draw(st.integers(0, len(document) - 1))
        return [*document[:at], _edited(draw, document[at]), *document[at + 1 :]]
    name = draw(st.sampled_from(sorted(document)))
    if draw(_RARELY):
        return {key: value for key, value in document.items() if key != name} | {draw(_BROKEN_TEXT): document[name]}
    return document | {name: _edited(draw, document[name])}
