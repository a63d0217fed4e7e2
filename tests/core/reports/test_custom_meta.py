"""What an application attached to a payload: carried as it is, or named where it cannot be."""

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.delivery.authentication import Delivery
from processor.core.errors import NormalizeError
from processor.core.payload.events import encode
from processor.core.payload.lifecycle import apply
from processor.core.reports.custom_meta import SAFE_INTEGER, encode_custom_meta, ensure_portable, is_portable
from processor.core.reports.report import Report
from processor.core.reports.snapshot import snapshot_report
from processor.core.reports.status import is_present, status_report, unknown_keys
from processor.core.reports.webhook import parse_payload_uuid, webhook_report
from schemas.events import parse_event
from tests.core.payloads import NOW, PAYLOAD, POLICY, SHOP, UNKNOWN
from tests.core.reports.test_sources import api_answer
from tests.support.webhooks import body_of

MARK: Final = '"@@"'
UNCARRIED: Final = {
    "half a surrogate pair": '"\\ud83d"',
    "half a surrogate pair within": '{"a":["b\\udc00"]}',
    "half a surrogate pair in a name": '{"\\ud83d":1}',
    "750 levels": "[" * 750 + "]" * 750,
    "750 levels of objects": '{"a":' * 750 + "1" + "}" * 750,
    "20,000 levels": "[" * 20_000 + "]" * 20_000,
    "no number": "NaN",
    "no number within": '{"a":[-Infinity]}',
    "a number beyond doubles": "1e400",
    "an integer beyond doubles": str(SAFE_INTEGER + 1),
    "an integer beyond 64 bits": str(-(2**64)),
    "an integer of 5,000 digits": "9" * 5000,
    "a fraction of 5,000 digits": "9" * 5000 + ".5",
}
"""What may stand for the blob."""


def _status(text: str) -> Report:
    message = {"payload_uuidv4": PAYLOAD, "signed": True, "custom_meta": {"identifier": "order-1", "blob": "@@"}}
    report = status_report(SHOP, PAYLOAD, json.dumps(message).replace(MARK, text), NOW)
    assert report is not None
    return report


def _webhook(text: str, custom_meta: Any = None) -> Report:
    body = body_of(PAYLOAD, custom_meta=custom_meta or {"identifier": "order-1", "blob": "@@"})
    return webhook_report(
        Delivery(application=SHOP, body=body.replace(MARK.encode(), text.encode()), received_at=NOW, attempt=1)
    )


def _snapshot(text: str) -> Report:
    answer = api_answer(custom_meta__identifier="order-1", custom_meta__blob="@@")
    return snapshot_report(SHOP, PAYLOAD, json.dumps(answer).replace(MARK, text).encode(), NOW)


SOURCES: Final[list[Callable[[str], Report]]] = [_webhook, _status, _snapshot]


def published(report: Report) -> bytes:
    transition = apply(UNKNOWN, report, POLICY)
    return encode(transition.events[0], transition.state, report).body


def strict(body: bytes) -> dict[str, Any]:
    """``body`` as a reader takes it that knows nothing beyond JSON."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(constant)

    read: dict[str, Any] = json.loads(body, parse_constant=refuse)
    assert read == orjson.loads(body)
    return read


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", UNCARRIED)
def test_what_cannot_be_carried_is_dropped_and_named(source: Callable[[str], Report], kind: str) -> None:
    """The outcome is told all the same, and what else was attached."""
    body = published(source(UNCARRIED[kind]))

    data = strict(body)["data"]
    assert {"identifier": "order-1", "blob": None, "instruction": None, "dropped": ["blob"]} == data["custom_meta"]
    assert "xumm.sign.signed" == parse_event(body).type


@pytest.mark.parametrize(
    ("attached", "blob", "dropped"),
    [
        ({"identifier": 5, "blob": 1}, 1, ["identifier"]),
        ({"identifier": "a", "instruction": ["b"]}, None, ["instruction"]),
        ({"identifier": 1, "instruction": {}, "blob": {}}, {}, ["identifier", "instruction"]),
        (["order-1"], None, ["custom_meta"]),
        ("order-1", None, ["custom_meta"]),
    ],
)
def test_parts_of_another_type_are_named(attached: Any, blob: Any, dropped: list[str]) -> None:
    """What is no text where a text belongs cannot be carried either, and takes nothing else along."""
    meta = strict(published(_webhook("", attached)))["data"]["custom_meta"]

    assert (dropped, blob) == (meta["dropped"], meta["blob"])


@pytest.mark.parametrize(
    "text",
    ['"NaN"', '"Infinity \\u0000 9999999999999999999"', "[1,2.5,null]", str(SAFE_INTEGER), "1e21", '"\\ud83d\\ude00"'],
)
@pytest.mark.parametrize("source", SOURCES)
def test_what_any_reader_takes_is_carried(source: Callable[[str], Report], text: str) -> None:
    """Words that look like what is not JSON, a NUL, and the largest integer are left alone, and nothing is named."""
    meta = strict(published(source(text)))["data"]["custom_meta"]

    assert {"identifier": "order-1", "blob": json.loads(text), "instruction": None} == meta


@pytest.mark.parametrize(
    "stored", [b'{"identifier":"a","blob":NaN,"instruction":null}', b'{"blob":[18446744073709551616]}']
)
def test_what_an_earlier_version_kept_is_published_as_strictly(stored: bytes) -> None:
    """Whatever stands in the database, what is published is JSON to everybody."""
    report = _webhook("1")
    transition = apply(UNKNOWN._replace(custom_meta=stored), report, POLICY)

    meta = strict(encode(transition.events[0], transition.state, report).body)["data"]["custom_meta"]
    assert ["blob"] == meta["dropped"]


def test_what_was_named_stays_named() -> None:
    """Text that looks suspicious is looked into, and loses nothing by it."""
    report = _webhook("1", {"identifier": "NaN", "blob": 2**60})

    assert ["blob"] == strict(published(report))["data"]["custom_meta"]["dropped"]


def test_rest_of_a_message_is_known() -> None:
    """A socket's message shows that the payload exists, and its strange keys, though a part cannot be read."""
    message = '{"expires_in_seconds":54,"new":"\\ud800"}'

    assert is_present(message)
    assert ["new"] == unknown_keys(message)


@pytest.mark.parametrize("text", UNCARRIED.values())
def test_payload_of_an_unreadable_webhook_is_known(text: str) -> None:
    """Nothing else in it has to make sense."""
    body = body_of(PAYLOAD, payloadResponse="@@", custom_meta="@@").replace(MARK.encode(), text.encode())

    assert PAYLOAD == parse_payload_uuid(SHOP, body)


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[]", b"{", b'{"meta":{}}', body_of(PAYLOAD, application=PAYLOAD), body_of("no uuid")]
)
def test_payload_that_nobody_names(body: bytes) -> None:
    """A body of another application, or without any, names no payload of ours."""
    with pytest.raises(NormalizeError):
        parse_payload_uuid(SHOP, body)


pieces = st.sampled_from(
    ['"', "\\", "\\u", "\\ud800", "[", "]", "{", "}", ":", ",", "NaN", "1e999", "9" * 400, "\x00", "é", "a"]
)


@given(pieces=st.lists(pieces, max_size=40), cut=st.integers(0, 400))
def test_any_attachment_is_carried_or_refused(pieces: list[str], cut: int) -> None:
    """Whatever stands in a body, the one error is raised, or what follows of it is JSON to everybody."""
    body = body_of(PAYLOAD, custom_meta="@@").replace(MARK.encode(), "".join(pieces).encode())
    try:
        report = webhook_report(
            Delivery(application=SHOP, body=body[: len(body) - cut // 8], received_at=NOW, attempt=1)
        )
    except NormalizeError:
        return

    strict(published(report))


def test_body_full_of_quotes_is_refused_in_one_pass() -> None:
    """What never closes is read once, not once from each of its quotes."""
    body = body_of(PAYLOAD, custom_meta="@@").replace(MARK.encode(), b'"' + b'\\"' * 30_000)

    with pytest.raises(NormalizeError):
        webhook_report(Delivery(application=SHOP, body=body, received_at=NOW, attempt=1))


def test_nothing_attached_is_nothing() -> None:
    """Null is no object that lost its parts."""
    assert encode_custom_meta(None) is None


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_as_deep_as_everybody_reads(brackets: str) -> None:
    """A text that only looks deep is carried; a deep one up to what a reader takes within an event."""
    flat = "[" + ",".join([brackets] * 500) + "]"
    opening = '{"a":' if brackets == "{}" else "["
    nested = opening * 180 + "1" + brackets[1] * 180
    deep = opening * 220 + "1" + brackets[1] * 220

    assert [True, True, False] == [is_portable(text.encode()) for text in (flat, nested, deep)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"9007199254740991", True),
        (b"-9007199254740991", True),
        (b"9007199254740992", False),
        (b"-9007199254740992", False),
        (b'["9007199254740992"]', True),
        (b"[9007199254740991,true,null,1.5]", True),
        (b'{"a":[0.12345678901234567890]}', True),
        (b'{"a":[1,9007199254740992]}', False),
        (b'{"Infinity":"NaN"}', True),
        (b'{"Infinity":[true,false,null,"x",1,1.5]}', True),
        (b"[NaN]", False),
        (b"[Infinity]", False),
        (b"[-Infinity]", False),
    ],
)
def test_numbers_that_everybody_reads(text: bytes, *, expected: bool) -> None:
    """Integers that a double holds, and no infinity; in a text, anything."""
    assert expected == is_portable(text)


@pytest.mark.parametrize(
    ("attached", "expected"),
    [
        (None, None),
        ("text", {"identifier": None, "blob": None, "instruction": None, "dropped": ["custom_meta"]}),
        ([], {"identifier": None, "blob": None, "instruction": None, "dropped": ["custom_meta"]}),
        ({}, {"identifier": None, "blob": None, "instruction": None}),
        ({"identifier": "a", "other": 1}, {"identifier": "a", "blob": None, "instruction": None}),
        (
            {"identifier": 1, "instruction": ["x"], "blob": 2},
            {"identifier": None, "blob": 2, "instruction": None, "dropped": ["identifier", "instruction"]},
        ),
        (
            {"identifier": "a", "instruction": "b", "blob": 2**60},
            {"identifier": "a", "blob": None, "instruction": "b", "dropped": ["blob"]},
        ),
    ],
)
def test_what_was_attached_is_carried_by_name(attached: Any, expected: Any) -> None:
    """Three members, the texts as texts; what cannot be carried is named."""
    found = encode_custom_meta(attached)

    assert expected == (None if found is None else json.loads(found))


def test_nothing_that_was_kept_is_null() -> None:
    """Whatever an earlier version kept of nothing."""
    assert b"null" == ensure_portable(b"null")
