"""User tokens: which report carries one that is worth keeping, and when one is in doubt.

Source: https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload/create#push-notifications
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from processor.core.payload.ids import user_reference
from processor.core.payload.state import PayloadState
from processor.core.reports.report import TOKEN_LIFE, Report, SnapshotReport, WebhookReport

SURE_FOR: Final = timedelta(days=1)
"""How long after a signature or a check a token passes for alive without asking Xumm."""

_BEARERS: Final = (WebhookReport, SnapshotReport)


class ReceivedToken(NamedTuple):
    """A user token that a signature came with. The token itself is a secret."""

    app: str
    application_uuid: str
    user: str
    """The opaque reference."""
    account: str | None
    """Whose it is, if a proven signature says so."""
    value: str
    signed_at: datetime
    expires_at: datetime

    def __repr__(self) -> str:
        """Without the token."""
        return f"ReceivedToken(app={self.app!r}, user={self.user!r}, expires_at={self.expires_at})"


class TokenFacts(NamedTuple):
    """What is known of a token that is kept, without the token."""

    app: str
    application_uuid: str
    user: str
    account: str | None
    key_id: str
    signed_at: datetime
    expires_at: datetime
    checked_at: datetime | None
    suspect: bool
    """A push with it led nowhere."""
    revoked_at: datetime | None


class KeptToken(NamedTuple):
    """A user token, opened to be used now."""

    facts: TokenFacts
    value: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"KeptToken({self.facts!r})"


def extract_token(report: Report) -> ReceivedToken | None:
    """The token that came with a signature; None if nobody signed, or there is none."""
    if not isinstance(report, _BEARERS) or report.token is None:
        return None
    token, account, signed_at = report.token, None, report.at
    if isinstance(report, WebhookReport):
        if not report.signed:
            return None
    else:
        snapshot = report.snapshot
        if snapshot.outcome != "signed" or snapshot.application != report.application_uuid:
            return None
        signed_at = min(snapshot.resolved_at or report.at, report.at)
        if snapshot.proven and snapshot.signature is not None and snapshot.signature.algorithm != "multisign":
            account = snapshot.signature.account
    return ReceivedToken(
        report.app,
        report.application_uuid,
        user_reference(report.application_uuid, token.value),
        account,
        token.value,
        signed_at,
        token.expires_at or signed_at + TOKEN_LIFE,
    )


class TokenOwner(NamedTuple):
    """Whose the token of a user is."""

    app: str
    user: str
    """The opaque reference."""
    account: str


def token_owner_of(state: PayloadState) -> TokenOwner | None:
    """Whose the token is that came with a payload; None unless its signature is proven to be one account's.

    Xumm's API may leave the token out of a payload whose webhook had it. Both are Xumm's word on one payload: the
    webhook says with which token, and the signature by whom.
    """
    snapshot = state.snapshot
    if state.user is None or snapshot is None or snapshot.outcome != "signed" or not snapshot.proven:
        return None
    signature = snapshot.signature
    if signature is None or signature.algorithm == "multisign" or snapshot.application != state.application_uuid:
        return None
    return TokenOwner(state.app, state.user, signature.account)


def is_doubtful(token: TokenFacts, now: datetime) -> bool:
    """Whether Xumm should be asked before a push is tried with it."""
    return token.suspect or now - max(token.signed_at, token.checked_at or token.signed_at) >= SURE_FOR


def is_usable(token: TokenFacts, now: datetime) -> bool:
    """Whether it may be alive."""
    return token.revoked_at is None and now < token.expires_at
