"""Tickets: what is handed out sealed and taken back."""

import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from processor.core.access.ticket import NONCE_BYTES, application_of, seal, unseal
from schemas.base64url import decode, encode

SECRET = b"12345678-90ab-4cde-8f01-234567890abc"
OLD_SECRET = b"aaaaaaaa-90ab-4cde-8f01-234567890abc"
NONCE = bytes(range(12))
CONTENT = {"id": "1", "expires_at": 1_700_000_000}
TICKET = seal("shop", "state", SECRET, CONTENT, NONCE)


@given(st.dictionaries(st.text(max_size=9), st.none() | st.integers() | st.text(max_size=9), max_size=5))
def test_content_comes_back(content: dict[str, Any]) -> None:
    """Whoever holds the secret gets back what was sealed, from text that can stand in an address."""
    ticket = seal("shop", "code", SECRET, content, NONCE)

    assert content == unseal(ticket, "shop", "code", [SECRET])
    assert set(ticket) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_ticket_is_plain_aes_gcm_under_a_key_of_its_own() -> None:
    """Tickets of other versions and instances open: name, nonce and ciphertext are written in one way alone."""
    key = hmac.digest(SECRET, b"xumm-processor/ticket/1/state/shop", "sha256")
    box = NONCE + AESGCM(key).encrypt(NONCE, json.dumps(CONTENT, separators=(",", ":")).encode(), None)

    assert (12, f"shop.{encode(box)}") == (NONCE_BYTES, TICKET)


@pytest.mark.parametrize("secrets", [[SECRET], [OLD_SECRET, SECRET], [SECRET, OLD_SECRET]])
def test_any_valid_secret_opens(secrets: list[bytes]) -> None:
    """During a rotation, tickets of the old secret and of the new one open."""
    assert CONTENT == unseal(TICKET, "shop", "state", secrets)


OTHERS_TICKET = f"other.{TICKET.partition('.')[2]}"
OTHERS_BOX = f"shop.{seal('other', 'state', SECRET, CONTENT, NONCE).partition('.')[2]}"


@pytest.mark.parametrize(
    ("ticket", "app", "purpose", "secrets"),
    [
        (TICKET, "other", "state", [SECRET]),
        (TICKET, "shop", "code", [SECRET]),
        (TICKET, "shop", "state", [OLD_SECRET]),
        (TICKET, "shop", "state", []),
        (OTHERS_TICKET, "other", "state", [SECRET]),
        (OTHERS_TICKET, "shop", "state", [SECRET]),
        (OTHERS_BOX, "shop", "state", [SECRET]),
        ("shop.", "shop", "state", [SECRET]),
        ("shop.A", "shop", "state", [SECRET]),
        ("shop.AAAA", "shop", "state", [SECRET]),
        (f"shop.{encode(NONCE)}", "shop", "state", [SECRET]),
        ("shop", "shop", "state", [SECRET]),
        ("", "shop", "state", [SECRET]),
    ],
)
def test_nothing_else_opens(ticket: str, app: str, purpose: Any, secrets: list[bytes]) -> None:
    """Neither for another application or purpose, nor with another secret, nor what is no ticket."""
    assert unseal(ticket, app, purpose, secrets) is None


def test_application_is_checked_even_where_the_key_fits() -> None:
    """A ticket that names another application than it is opened for is none, whatever is sealed in it."""
    assert unseal(TICKET.replace("shop", "other", 1), "shop", "state", [SECRET]) is None


@given(st.data())
def test_changes_show(data: st.DataObject) -> None:
    """Whatever bit is turned over, the ticket does not open."""
    box = bytearray(decode(TICKET.partition(".")[2]))
    box[data.draw(st.integers(0, len(box) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    assert unseal(f"shop.{encode(bytes(box))}", "shop", "state", [SECRET]) is None


@pytest.mark.parametrize(
    ("ticket", "expected"),
    [
        (TICKET, "shop"),
        ("a.A", "a"),
        ("0-_z.-_", "0-_z"),
        ("a" * 63 + ".A", "a" * 63),
        ("a" * 64 + ".A", None),
        ("Shop.A", None),
        ("-shop.A", None),
        ("sh op.A", None),
        ("shop.A.B", None),
        ("shop.A=", None),
        ("shop.é", None),
        ("shop.A\n", None),
        ("shop.", None),
        (".A", None),
        ("shop", None),
        ("", None),
        ("shop." + "A" * 2043, "shop"),
        ("shop." + "A" * 2044, None),
    ],
)
def test_ticket_says_of_which_application_it_is(ticket: str, expected: str | None) -> None:
    """A name of an application, a dot and base64url, together 2,048 characters at most."""
    assert expected == application_of(ticket)
