"""User tokens: one of each user of an application, valid for thirty days from the user's last signature.

Source: https://docs.xaman.dev/concepts/limitations/push-permission
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from processor.sandbox.clock import Clock, NewId

VALID_FOR: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserToken:
    """A secret with which an application can push payloads to one user."""

    token: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime


class UserTokenTable:
    """The user tokens of all applications, in memory."""

    def __init__(self, *, clock: Clock, new_id: NewId) -> None:
        self._clock = clock
        self._new_id = new_id
        self._tokens: dict[tuple[str, str], UserToken] = {}
        self._latest: dict[str, str] = {}

    def renew(self, application: str, account: str) -> UserToken:
        """Issue the token of ``account`` with its first signature, and prolong it with each later one.

        A token that expired is replaced.
        """
        now = self._clock()
        known = self._tokens.get((application, account))
        if known is None or known.expires_at <= now:
            token = UserToken(token=self._new_id(), issued_at=now, expires_at=now + VALID_FOR)
        else:
            token = replace(known, expires_at=now + VALID_FOR)
        self._tokens[application, account] = token
        return token

    def set_latest(self, token: UserToken, payload: str) -> None:
        """Note ``payload`` as the latest one signed with ``token``: only the latest one is shown with its token."""
        self._latest[token.token] = payload

    def is_latest(self, token: UserToken, payload: str) -> bool:
        """Whether ``payload`` is the latest one signed with ``token``."""
        return self._latest.get(token.token, payload) == payload

    def revoke(self, application: str) -> None:
        """Revoke all tokens of the application, as when its users withdraw their permission."""
        self._tokens = {owner: token for owner, token in self._tokens.items() if owner[0] != application}

    def get(self, application: str, token: str) -> UserToken | None:
        """The application's ``token``, expired or not; None if it is unknown."""
        own = (known for (owner, _), known in self._tokens.items() if owner == application)
        return next((known for known in own if known.token == token), None)

    def is_active(self, application: str, token: str) -> bool:
        """Whether a payload can be pushed with ``token``."""
        known = self.get(application, token)
        return known is not None and self._clock() < known.expires_at
