from hypothesis import given
from hypothesis import strategies as st

from processor.core.sign_request.order import identifier_at_xumm
from schemas.api import MAX_IDENTIFIER
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
