import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.delivery.diagnosis import Diagnosis, Finding, diagnose
from processor.core.delivery.signature import key_of, sign

SECRET = "12345678-90ab-4cde-8f01-234567890abc"
TIMESTAMP = "1700000000"
BODY = '{"custom_meta":{"instruction":"Hey ❤️ ..."}}'.encode()
SIGNATURE = "bf231782174546d1a6174d54164f02ac45da687d"
NOW = datetime.fromtimestamp(1700000000, UTC)


def findings(
    signature: str,
    *,
    secret: str = SECRET,
    timestamp: str = TIMESTAMP,
    body: bytes = BODY,
    now: datetime = NOW,
) -> tuple[Finding, ...]:
    return diagnose(secret, timestamp, signature, body, now).findings


def mac(key: bytes, message: bytes, name: str = "sha1") -> bytes:
    return hmac.digest(key, message, name)


def test_finds_the_golden_vector_valid() -> None:
    """The published example is right."""
    found = diagnose(SECRET, TIMESTAMP, SIGNATURE, BODY, NOW)

    assert (found.valid, found.findings) == (True, ("valid",))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (SECRET.replace("-", ""), "key_all_dashes"),
        (SECRET, "key_no_dash"),
        (SECRET.upper().replace("-", "", 1), "key_case"),
        (SECRET.replace("-", "", 1) + "\n", "secret_padded"),
        ("", "secret_empty"),
        ("99999999-90ab-4cde-8f01-234567890abc", "nothing_matches"),
    ],
)
def test_finds_mistakes_in_the_key(key: str, expected: Finding) -> None:
    """A signature made with another form of the secret says which."""
    signature = mac(key.encode(), TIMESTAMP.encode() + BODY).hex()

    assert findings(signature) == (expected,)


VALUE = {"b": "Hey ❤️ ...", "a": "https://x/y", "n": 1}
COMPACT = json.dumps(VALUE, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (COMPACT + b"\n", "body_newline"),
        (COMPACT + b"\r\n", "body_newline"),
        (b"  " + COMPACT + b" ", "body_trimmed"),
        (json.dumps(VALUE, ensure_ascii=False).encode(), "body_reformatted"),
        (json.dumps(VALUE).encode(), "body_reformatted"),
        (json.dumps(VALUE, indent=2).encode(), "body_reformatted"),
        (COMPACT.replace(b"/", b"\\/"), "body_reformatted"),
        (COMPACT.replace(b"Hey", b"Bye"), "nothing_matches"),
        (b"[" * 5000, "nothing_matches"),
    ],
)
def test_finds_mistakes_in_the_body(received: bytes, expected: Finding) -> None:
    """A body that is not the one that was signed says how it differs, where it is the same JSON."""
    assert findings(sign(key_of(SECRET), TIMESTAMP, COMPACT), body=received) == (expected,)


def test_finds_a_body_whose_keys_were_sorted() -> None:
    """A signature over sorted keys is explained by the body as it came."""
    signed = json.dumps(VALUE, sort_keys=True).encode()

    assert findings(sign(key_of(SECRET), TIMESTAMP, signed), body=COMPACT) == ("body_reformatted",)


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("", ("signature_missing",)),
        ("no signature", ("signature_malformed",)),
        (SIGNATURE[:-2], ("signature_malformed",)),
        (SIGNATURE.upper(), ("signature_upper_case",)),
        (base64.b64encode(bytes.fromhex(SIGNATURE)).decode(), ("signature_base64",)),
        (f"sha1={SIGNATURE}", ("signature_prefixed",)),
        (mac(key_of(SECRET), TIMESTAMP.encode() + BODY, "sha256").hex(), ("algorithm",)),
        (mac(key_of(SECRET), BODY).hex(), ("timestamp_unsigned",)),
        (mac(key_of(SECRET), f"{TIMESTAMP}000".encode() + BODY).hex(), ("timestamp_milliseconds",)),
        (mac(SECRET.encode(), TIMESTAMP.encode() + BODY + b"\n").hex(), ("key_no_dash", "body_newline")),
        (f" {SIGNATURE}\n", ("valid",)),
    ],
)
def test_finds_mistakes_in_the_signature(signature: str, expected: tuple[Finding, ...]) -> None:
    """Another notation, another hash, another message, and two mistakes at once."""
    assert findings(signature) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(300, "valid"), (301, "timestamp_stale"), (-301, "timestamp_stale")])
def test_finds_clocks_that_differ(seconds: int, expected: Finding) -> None:
    """A right signature more than 300 s from now, either way, is stale."""
    assert findings(SIGNATURE, now=NOW + timedelta(seconds=seconds)) == (expected,)


@pytest.mark.parametrize(
    ("timestamp", "expected"), [("1700000000000", "timestamp_milliseconds"), ("soon", "timestamp_malformed")]
)
def test_finds_timestamps_of_another_form(timestamp: str, expected: Finding) -> None:
    """A signed timestamp that is not in whole seconds is named."""
    assert findings(sign(key_of(SECRET), timestamp, BODY), timestamp=timestamp) == (expected,)


def test_asks_for_a_secret() -> None:
    """Without a secret nothing can be said, unless the sender had none either."""
    assert findings(SIGNATURE, secret="") == ("secret_missing",)
    assert findings(mac(b"", TIMESTAMP.encode() + BODY).hex(), secret="") == ("secret_empty",)


@given(body=st.binary(max_size=200), secret=st.uuids(version=4).map(str))
def test_agrees_with_the_signature_that_is_checked_on_deliveries(body: bytes, secret: str) -> None:
    """Whatever was signed rightly is valid, and nothing else is."""
    signature = sign(key_of(secret), TIMESTAMP, body)

    assert findings(signature, secret=secret, body=body) == ("valid",)
    assert findings(sign(key_of(secret), TIMESTAMP, body + b"x"), secret=secret, body=body) != ("valid",)


def test_explains_every_finding() -> None:
    """Each finding comes with advice."""
    found = diagnose(SECRET, TIMESTAMP, mac(SECRET.encode(), TIMESTAMP.encode() + BODY + b"\n").hex(), BODY, NOW)

    assert [len(advice) > 20 for advice in found.advice] == [True, True]


def explained(key: bytes, message: bytes, **how: Any) -> tuple[Finding, ...]:
    return findings(mac(key, message).hex(), **how)


SIGNED = TIMESTAMP.encode() + BODY


@pytest.mark.parametrize("padding", ["\n", "\r\n", " "])
def test_padding_of_the_secret_that_was_signed_with(padding: str) -> None:
    """A line end or a blank behind the sender's secret, or around ours."""
    assert ("secret_padded",) == explained(key_of(SECRET + padding), SIGNED)
    assert ("secret_padded",) == findings(SIGNATURE, secret=SECRET + padding)


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_around_the_secret(quote: str) -> None:
    """They were copied along."""
    assert ("secret_padded",) == findings(SIGNATURE, secret=f"{quote}{SECRET}{quote}")


def test_secret_of_blanks_is_empty() -> None:
    """Nothing is left of it."""
    assert ("secret_empty",) == explained(b"", SIGNED, secret=' "" ')
    assert ("nothing_matches",) == findings(SIGNATURE, secret=" ")


@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_secret_in_another_case(change: Any) -> None:
    """Either way."""
    mixed = "12345678-90AB-4cde-8f01-234567890abc"

    assert ("key_case",) == explained(key_of(change(mixed)), SIGNED, secret=mixed)


@pytest.mark.parametrize(("hash_name", "size"), [("sha256", 32), ("sha512", 64)])
def test_other_hashes(hash_name: str, size: int) -> None:
    """In hexadecimal digits and in Base64, with and without a prefix."""
    raw = mac(key_of(SECRET), SIGNED, hash_name)

    assert size == len(raw)
    assert ("algorithm",) == findings(raw.hex())
    assert ("signature_base64", "algorithm") == findings(base64.b64encode(raw).decode())
    assert ("algorithm", "key_no_dash") == findings(mac(SECRET.encode(), SIGNED, hash_name).hex())


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        (f"sha256={mac(key_of(SECRET), SIGNED, 'sha256').hex()}", ("signature_prefixed", "algorithm")),
        (f"SHA1={SIGNATURE}", ("signature_prefixed",)),
        ("sha1=", ("signature_malformed",)),
        (f"md5={SIGNATURE}", ("signature_malformed",)),
        (SIGNATURE + "00", ("signature_malformed",)),
        ("00" * 31, ("signature_malformed",)),
        ("00" * 33, ("signature_malformed",)),
        ("00" * 63, ("signature_malformed",)),
        ("00" * 65, ("signature_malformed",)),
        ("A" * 41, ("signature_malformed",)),
        (base64.b64encode(bytes(21)).decode(), ("signature_malformed",)),
        (base64.b64encode(bytes(31)).decode(), ("signature_malformed",)),
        (base64.b64encode(bytes(63)).decode(), ("signature_malformed",)),
        ("   ", ("signature_missing",)),
    ],
)
def test_notations_of_a_signature(signature: str, expected: tuple[Finding, ...]) -> None:
    """A prefix goes; what has the length of no hash is none."""
    assert expected == findings(signature)


@pytest.mark.parametrize("signature", [bytes.fromhex(SIGNATURE), mac(key_of(SECRET), SIGNED, "sha256")])
def test_base64_in_every_spelling(signature: bytes) -> None:
    """With either alphabet, padded or not."""
    texts = {
        encode(signature).decode().rstrip("=") + padding
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
        for padding in ("", "=" * (-len(base64.b64encode(signature).rstrip(b"=")) % 4))
    }

    assert {"signature_base64"} == {findings(text)[0] for text in texts}


def test_base64_alphabets_are_both_read() -> None:
    """Those that differ are the last two of each."""
    body = next(
        text
        for number in range(1000)
        if {"+", "/"}
        <= set(base64.b64encode(mac(key_of(SECRET), TIMESTAMP.encode() + (text := b"%d" % number))).decode())
    )
    raw = mac(key_of(SECRET), TIMESTAMP.encode() + body)

    assert [("signature_base64",)] * 2 == [
        findings(encode(raw).decode(), body=body) for encode in (base64.b64encode, base64.urlsafe_b64encode)
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\n\n"])
def test_line_ends_that_were_signed_or_not(end: bytes) -> None:
    """Either of them may have come by the way; blanks around are another finding."""
    assert ("body_newline",) == explained(key_of(SECRET), SIGNED, body=BODY + end)
    assert ("valid",) == explained(key_of(SECRET), SIGNED + end, body=BODY + end)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_end_that_is_lacking(end: bytes) -> None:
    """It was signed."""
    assert ("body_newline",) == explained(key_of(SECRET), SIGNED + end)


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(
    ("separators", "indent"), [((",", ":"), None), ((", ", ": "), None), ((",", ": "), 2), ((",", ": "), 4)]
)
def test_every_way_to_write_json_again(
    separators: tuple[str, str], indent: int | None, *, escaped: bool, ascii_only: bool, ordered: bool
) -> None:
    """Blanks, escapes and order of the serialisers that are in use."""
    text = json.dumps(VALUE, separators=separators, indent=indent, ensure_ascii=ascii_only, sort_keys=ordered)
    signed = (text.replace("/", "\\/") if escaped else text).encode()
    received = json.dumps(VALUE, separators=(" ,", " :")).encode()

    assert ("body_reformatted",) == explained(key_of(SECRET), TIMESTAMP.encode() + signed, body=received)


def test_half_a_surrogate_pair_is_no_obstacle() -> None:
    """JSON may hold one; nothing breaks over it."""
    assert ("nothing_matches",) == findings("00" * 20, body=b'{"a":"\\ud83d/"}')
    assert ("body_reformatted",) == explained(
        key_of(SECRET), TIMESTAMP.encode() + b'{"a": "\\ud83d"}', body=b'{"a":"\\ud83d"}'
    )


@pytest.mark.parametrize(
    ("timestamp", "seconds", "expected"),
    [
        (f"{TIMESTAMP}000", 0, "timestamp_milliseconds"),
        (f"{TIMESTAMP}000", 300, "timestamp_milliseconds"),
        (f"{TIMESTAMP}000", 301, "timestamp_stale"),
        (f"{TIMESTAMP}000", -301, "timestamp_stale"),
        ("9" * 15, 0, "timestamp_stale"),
        ("9" * 16, 0, "timestamp_malformed"),
        ("1", 0, "timestamp_stale"),
        ("", 0, "timestamp_malformed"),
        ("\u0661", 0, "timestamp_malformed"),
    ],
)
def test_timestamps_that_were_signed(timestamp: str, seconds: int, expected: Finding) -> None:
    """Milliseconds of about now are told from another time, and both from what is no number of seconds."""
    found = findings(sign(key_of(SECRET), timestamp, BODY), timestamp=timestamp, now=NOW + timedelta(seconds=seconds))

    assert (expected,) == found


def test_milliseconds_of_a_sender_that_signed_seconds() -> None:
    """The header has what the signature has not."""
    assert {"timestamp_milliseconds"} == set(findings(SIGNATURE, timestamp=f"{TIMESTAMP}000"))


def test_unsigned_timestamp_may_be_of_any_time() -> None:
    """No signature stands for it."""
    assert ("timestamp_unsigned",) == explained(key_of(SECRET), BODY, now=NOW + timedelta(days=1))


@pytest.mark.parametrize(
    ("secret", "timestamp", "expected"),
    [
        (SECRET, "soon", ("timestamp_malformed",)),
        ("", "soon", ("secret_missing", "timestamp_malformed")),
        ("", TIMESTAMP, ("secret_missing",)),
        (SECRET, TIMESTAMP, ("nothing_matches",)),
        (SECRET, f" {TIMESTAMP}\n", ("nothing_matches",)),
    ],
)
def test_what_is_lacking_where_nothing_explains(secret: str, timestamp: str, expected: tuple[Finding, ...]) -> None:
    """A secret that is not there and a timestamp that is none are told before anything is supposed."""
    assert expected == findings("00" * 20, secret=secret, timestamp=timestamp)


def test_one_mistake_is_told_rather_than_two() -> None:
    """The fewest that explain the signature."""
    body = BODY + b"\n"

    assert ("body_newline",) == explained(key_of(SECRET), SIGNED, body=body)
    assert ("key_all_dashes", "body_newline") == explained(SECRET.replace("-", "").encode(), SIGNED, body=body)


@pytest.mark.parametrize("finding", get_args(Finding))
def test_advice_names_the_remedy(finding: Finding) -> None:
    """Each finding has its own sentence, and only one of them is valid."""
    found = Diagnosis(findings=(finding,))
    others = {text for each in get_args(Finding) if each != finding for text in Diagnosis(findings=(each,)).advice}

    assert (1, finding == "valid") == (len(found.advice), found.valid)
    assert not others & set(found.advice)
    assert found.advice[0].endswith(".")
    assert found.advice[0][0].isupper()
