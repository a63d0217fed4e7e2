"""What is known of a payload, and the tables of facts."""

from typing import get_args

import pytest

from processor.core.payload.facts import FACTS, SNAPSHOT_FACTS, complete_facts
from processor.core.payload.state import ANSWERED, ENDED, Fact, Flag, names_of
from processor.core.proof.evidence import SnapshotOutcome
from tests.core.payloads import APPLICATION, PAYLOAD, UNKNOWN

FACT_NUMBERS = {
    "CREATED": 1,
    "OPENED": 2,
    "PRE_SIGNED": 4,
    "DISPATCHED": 8,
    "SIGNED": 16,
    "REJECTED": 32,
    "EXPIRED": 64,
    "CANCELLED": 128,
    "TOKEN_ISSUED": 256,
    "DELIVERED": 512,
}
FLAG_NUMBERS = {
    "OUTCOMES_DISAGREE": 1,
    "TRANSACTIONS_DISAGREE": 2,
    "APPLICATIONS_DISAGREE": 4,
    "LATE_OUTCOME": 8,
    "ABANDONED": 16,
    "SIGNATURE_DISPROVEN": 32,
    "NETWORKS_DISAGREE": 64,
    "SIGNATURE_UNREADABLE": 128,
}


def test_numbers_are_stored() -> None:
    """A database that an earlier version wrote is read rightly: no number is used for another thing."""
    assert FACT_NUMBERS == {name: int(fact) for name, fact in Fact.__members__.items()}
    assert FLAG_NUMBERS == {name: int(flag) for name, flag in Flag.__members__.items()}


def test_what_ends_a_payload() -> None:
    """The user's answer, or a cancellation; an expiry is no deed."""
    assert Fact.SIGNED | Fact.REJECTED == ANSWERED
    assert Fact.SIGNED | Fact.REJECTED | Fact.CANCELLED == ENDED


def test_flags_by_name() -> None:
    """A log line names them; none is nothing."""
    assert "ABANDONED" == names_of(16)
    assert {"OUTCOMES_DISAGREE", "ABANDONED"} == set(names_of(17).split("|"))
    assert "" == names_of(0)


def test_unknown_payload_has_three_names_and_nothing_else() -> None:
    """Nothing is known of it, and no event was published."""
    expected = ("shop", APPLICATION, PAYLOAD, 0, 0, 0, *[None] * 11)

    assert expected == tuple(UNKNOWN)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Fact(0), Fact(0)),
        (Fact.CREATED, Fact.CREATED),
        (Fact.OPENED, Fact.OPENED),
        (Fact.PRE_SIGNED, Fact.PRE_SIGNED | Fact.OPENED),
        (Fact.DISPATCHED, Fact.DISPATCHED | Fact.PRE_SIGNED | Fact.OPENED),
        (Fact.SIGNED, Fact.SIGNED | Fact.OPENED),
        (Fact.REJECTED, Fact.REJECTED | Fact.OPENED),
        (Fact.EXPIRED, Fact.EXPIRED),
        (Fact.CANCELLED, Fact.CANCELLED),
        (Fact.TOKEN_ISSUED | Fact.DELIVERED, Fact.TOKEN_ISSUED | Fact.DELIVERED),
        (Fact.EXPIRED | Fact.SIGNED, Fact.SIGNED | Fact.OPENED),
        (Fact.EXPIRED | Fact.REJECTED, Fact.REJECTED | Fact.OPENED),
        (Fact.EXPIRED | Fact.CANCELLED, Fact.CANCELLED),
        (Fact.EXPIRED | Fact.OPENED, Fact.EXPIRED | Fact.OPENED),
    ],
)
def test_facts_imply_and_withdraw_others(facts: Fact, expected: Fact) -> None:
    """Whoever answers has opened; who ended a payload did not let it expire."""
    assert int(expected) == complete_facts(int(facts))


LATER: dict[Fact, Fact] = {
    Fact.CREATED: Fact.OPENED | Fact.PRE_SIGNED | Fact.DISPATCHED | Fact.EXPIRED | Fact(ENDED),
    Fact.OPENED: Fact.PRE_SIGNED | Fact.DISPATCHED | Fact.EXPIRED | Fact(ENDED),
    Fact.PRE_SIGNED: Fact.DISPATCHED | Fact(ENDED),
    Fact.DISPATCHED: Fact(ENDED),
    Fact.CANCELLED: Fact(ANSWERED),
}


def test_what_is_no_news_any_more() -> None:
    """Each fact is announced unless something later is known, the user's answer always, in the order of a life."""
    assert {fact: LATER.get(fact, Fact(0)) for fact in FACTS} == {fact: row.overtaken_by for fact, row in FACTS.items()}
    assert [
        "created",
        "opened",
        "pre_signed",
        "dispatched",
        "expired",
        "cancelled",
        "rejected",
        "signed",
        "token_issued",
    ] == [row.event for row in FACTS.values()]


def test_what_the_api_says_happened() -> None:
    """Each outcome is the fact of its name; an open payload has none."""
    expected = {name: 0 if name == "open" else int(Fact[name.upper()]) for name in get_args(SnapshotOutcome)}

    assert expected == SNAPSHOT_FACTS
