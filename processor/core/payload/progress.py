"""The progress of a sign request, as the interface tells it."""

from typing import Final, Literal, NamedTuple

from processor.core.payload.facts import FACTS
from processor.core.payload.state import Fact, PayloadState
from schemas.events import ResolveName, SignName

_HIDDEN: Final = Fact.TOKEN_ISSUED
_PROVEN: Final[frozenset[ResolveName]] = frozenset({"signed", "validated"})


class Progress(NamedTuple):
    """The reported and the proven part of a payload's life."""

    reported: tuple[SignName, ...]
    """The sign events so far, in the order of a payload's life."""
    outcome: ResolveName | None
    """The proven outcome; None until there is one."""
    account: str | None
    """Who signed; None unless proven."""
    txid: str | None
    """The transaction; None unless proven."""


def progress(state: PayloadState | None) -> Progress:
    """The progress in ``state``. Account and transaction of a signature are left out until the signature is proven."""
    if state is None:
        return Progress((), None, None, None)
    reported = tuple(row.event for fact, row in FACTS.items() if fact & state.facts and not fact & _HIDDEN)
    snapshot = state.snapshot
    if state.resolved not in _PROVEN or snapshot is None or not snapshot.proven:
        return Progress(reported, state.resolved, None, None)
    return Progress(reported, state.resolved, snapshot.account, snapshot.txid)


SignIn = Literal["pending", "signed", "failed"]


def sign_in(state: PayloadState | None) -> SignIn:
    """The progress of a sign-in: ``signed`` only if somebody is proven to hold the account."""
    known = progress(state)
    if known.outcome is None:
        return "pending"
    return "signed" if known.outcome == "signed" and known.account is not None else "failed"
