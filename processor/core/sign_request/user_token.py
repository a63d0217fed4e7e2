"""User tokens: which reports contain one to store, whose it is, and when Xumm is asked whether it is still valid.

Source: https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload/create#push-notifications
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from processor.core.payload.ids import user_reference
from processor.core.payload.state import PayloadState
from processor.core.reports.report import TOKEN_LIFE, Report, SnapshotReport, WebhookReport

SURE_FOR: Final = timedelta(days=1)
"""How long after a signature or a check a token counts as valid without a question to Xumm."""

_BEARERS: Final = (WebhookReport, SnapshotReport)


class ReceivedToken(NamedTuple):
    """A user token in the report of a signature. The token itself is a secret."""

    app: str
    application_uuid: str
    user: str
    """The opaque reference."""
    account: str | None
    """The account of the user, if a proven signature names it."""
    value: str
    signed_at: datetime
    expires_at: datetime

    def __repr__(self) -> str:
        """Without the token."""
        return f"ReceivedToken(app={self.app!r}, user={self.user!r}, expires_at={self.expires_at})"


class TokenFacts(NamedTuple):
    """A stored token, without the token itself."""

    app: str
    application_uuid: str
    user: str
    account: str | None
    key_id: str
    signed_at: datetime
    expires_at: datetime
    checked_at: datetime | None
    suspect: bool
    """A push with the token reached no device."""
    revoked_at: datetime | None


class KeptToken(NamedTuple):
    """A stored token, with the token itself, to be used at once."""

    facts: TokenFacts
    value: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"KeptToken({self.facts!r})"


def extract_token(report: Report) -> ReceivedToken | None:
    """The token in the report of a signature; None if the report contains no signature or no token."""
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
    """The account that the token of a user belongs to."""

    app: str
    user: str
    """The opaque reference."""
    account: str


def token_owner_of(state: PayloadState) -> TokenOwner | None:
    """The owner of the token that was reported with a payload; None unless the signature is proven to be one account's.

    Xumm's API may leave out a token that the webhook contained. Both describe one payload: the webhook names the token,
    and the proven signature names the account.
    """
    snapshot = state.snapshot
    if state.user is None or snapshot is None or snapshot.outcome != "signed" or not snapshot.proven:
        return None
    signature = snapshot.signature
    if signature is None or signature.algorithm == "multisign" or snapshot.application != state.application_uuid:
        return None
    return TokenOwner(state.app, state.user, signature.account)


def is_doubtful(token: TokenFacts, now: datetime) -> bool:
    """Whether to ask Xumm about a token before a push with it."""
    return token.suspect or now - max(token.signed_at, token.checked_at or token.signed_at) >= SURE_FOR


def is_usable(token: TokenFacts, now: datetime) -> bool:
    """Whether a token may still be valid."""
    return token.revoked_at is None and now < token.expires_at
