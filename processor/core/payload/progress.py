"""How far a sign request is, for whoever waits for it."""

from typing import Final, Literal, NamedTuple

from processor.core.payload.facts import FACTS
from processor.core.payload.state import Fact, PayloadState
from schemas.events import ResolveName, SignName

_UNTOLD: Final = Fact.TOKEN_ISSUED
_PROVEN: Final[frozenset[ResolveName]] = frozenset({"signed", "validated"})


class Progress(NamedTuple):
    """What is known of a payload."""

    reported: tuple[SignName, ...]
    """What was reported so far, in the order of a payload's life."""
    outcome: ResolveName | None
    """How it ended, proven; None as long as it is not."""
    account: str | None
    """Who signed, proven."""
    txid: str | None
    """The transaction, proven."""


def progress(state: PayloadState | None) -> Progress:
    """What may be told. Nothing of an unproven signature but that it was reported."""
    if state is None:
        return Progress((), None, None, None)
    reported = tuple(row.event for fact, row in FACTS.items() if fact & state.facts and not fact & _UNTOLD)
    snapshot = state.snapshot
    if state.resolved not in _PROVEN or snapshot is None or not snapshot.proven:
        return Progress(reported, state.resolved, None, None)
    return Progress(reported, state.resolved, snapshot.account, snapshot.txid)


SignIn = Literal["pending", "signed", "failed"]


def sign_in(state: PayloadState | None) -> SignIn:
    """How a sign-in stands: ``signed`` only if somebody was proven to hold the account."""
    told = progress(state)
    if told.outcome is None:
        return "pending"
    return "signed" if told.outcome == "signed" and told.account is not None else "failed"
