from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.sign_request.order import Order, body_of, identifier_at_xumm, is_key, recover_answer
from schemas.api import MAX_IDENTIFIER
from schemas.payload import Payload
from tests.core.payloads import PAYLOAD
from tests.core.reports.test_sources import api_answer
from tests.sandbox.world import ALICE, BOB

NONCE = "0" * 32
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}", fullmatch=True)


@given(names)
def test_identifier_of_a_user_is_the_users(name: str) -> None:
    """It is the same each time, another one for each user and name, marked, and within Xumm's limit."""
    mine = identifier_at_xumm(f"user:{ALICE}", name, NONCE)
    others = [identifier_at_xumm(f"user:{BOB}", name, NONCE), identifier_at_xumm(f"user:{ALICE}", f"{name}x", NONCE)]

    assert mine == identifier_at_xumm(f"user:{ALICE}", name, "1" * 32)
    assert mine not in {*others, name}
    assert (True, MAX_IDENTIFIER) == (mine.startswith("xwu-"), len(mine))


@given(names)
def test_identifier_of_a_service_is_taken_as_it_is(name: str) -> None:
    """A merchant finds its own name in Xumm and in the events."""
    assert name == identifier_at_xumm("service:backend", name, NONCE)


def test_request_without_a_name_gets_one() -> None:
    """It is made of the nonce, and marked."""
    assert f"xwp-{NONCE}" == identifier_at_xumm(f"user:{ALICE}", None, NONCE)


ASKED = Order(
    app="shop",
    template={"TransactionType": "Payment", "Amount": "5"},
    submit=True,
    expire=timedelta(minutes=5),
    network="MAINNET",
)


def test_body_of_a_bare_request() -> None:
    """Xumm is told what it must know, and nothing that was not asked."""
    expected = {
        "txjson": {"TransactionType": "Payment", "Amount": "5"},
        "options": {"submit": True, "expire": 5, "force_network": "MAINNET"},
        "custom_meta": {"identifier": "order-1"},
    }

    assert expected == body_of(ASKED, "order-1", user_token=None, return_urls={})
    assert "Payment" == ASKED.tx_type


def test_body_of_a_whole_request() -> None:
    """Push, return addresses, and all that is carried along."""
    asked = replace(ASKED, submit=False, instruction="Pay", blob={"order": 1}, network="TESTNET")
    expected = {
        "txjson": {"TransactionType": "Payment", "Amount": "5"},
        "options": {
            "submit": False,
            "expire": 5,
            "force_network": "TESTNET",
            "return_url": {"app": "shopapp://signed?state=S"},
        },
        "custom_meta": {"identifier": "order-1", "instruction": "Pay", "blob": {"order": 1}},
        "user_token": "token",
    }

    assert expected == body_of(asked, "order-1", user_token="token", return_urls={"app": "shopapp://signed?state=S"})


@pytest.mark.parametrize(
    "changes",
    [
        {"app": "bar"},
        {"template": {"TransactionType": "Payment", "Amount": "6"}},
        {"submit": False},
        {"expire": timedelta(minutes=6)},
        {"network": "TESTNET"},
        {"identifier": "order-1"},
        {"instruction": "Pay"},
        {"blob": {"order": 1}},
        {"account": ALICE},
        {"return_urls": {"app": "shopapp://signed"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_digest_tells_requests_apart(changes: dict[str, Any]) -> None:
    """A request that differs in anything is another one; the order of its keys is nothing that differs."""
    same = replace(ASKED, template={"Amount": "5", "TransactionType": "Payment"})

    assert ASKED.digest == same.digest
    assert ASKED.digest != replace(ASKED, **changes).digest


def test_digest_is_stable() -> None:
    """A repetition is known by the instance of another version."""
    assert "81545176e0fd3998b7a73811e0cb4fd469f0b9ab0302ab8a75c760341f6c7342" == ASKED.digest.hex()


RESERVED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("created_at", "is_ours"),
    [
        ("2026-01-02T03:04:05Z", True),
        ("2026-01-02T03:02:05Z", True),
        ("2026-01-02T03:02:04Z", False),
        ("2026-01-02T03:04:05", True),
        (None, False),
    ],
)
def test_payload_whose_answer_never_came_is_recover_answer(created_at: str | None, *, is_ours: bool) -> None:
    """One that was made since the request was reserved, as far as clocks agree, is ours; its links are known."""
    payload = Payload.model_validate(api_answer(payload__created_at=created_at))
    link = f"https://xumm.example/sign/{PAYLOAD}"
    expected = {
        "uuid": PAYLOAD,
        "next": {"always": link, "no_push_msg_received": None},
        "refs": {
            "qr_png": f"{link}_q.png",
            "qr_matrix": f"{link}_q.json",
            "websocket_status": f"wss://xumm.example/sign/{PAYLOAD}",
        },
        "pushed": False,
    }
    found = recover_answer(payload, "https://xumm.example", RESERVED_AT)

    assert (expected if is_ours else None) == (None if found is None else found.model_dump())


def test_only_the_scheme_of_a_socket_differs() -> None:
    """A host that is called like a scheme is left alone."""
    found = recover_answer(
        Payload.model_validate(api_answer(payload__created_at="2026-01-02T03:04:05Z")), "http://http", RESERVED_AT
    )

    assert found is not None
    assert f"ws://http/sign/{PAYLOAD}" == found.refs.websocket_status


@pytest.mark.parametrize(
    ("key", "expected"),
    [("x", True), ("x" * 255, True), ("x" * 256, False), ("", False), ("é", False), ("a\nb", False), ("a b", True)],
)
def test_idempotency_key(key: str, *, expected: bool) -> None:
    """1 to 255 characters of ASCII that can be printed."""
    assert expected == is_key(key)


def test_users_identifiers_are_hashed_in_one_way() -> None:
    """Another version finds them again."""
    assert "xwu-75338100cd1ba9fff1ecd937400f8ec81a69" == identifier_at_xumm(f"user:{ALICE}", "order-1", NONCE)
