"""User tokens: one for each user of an application, valid for thirty days from the last signature with it.

Source: https://docs.xaman.dev/concepts/limitations/push-permission
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from processor.sandbox.clock import Clock, NewId

VALID_FOR: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserToken:
    """Lets an application push payloads to one user. A secret."""

    token: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime


class UserTokens:
    """The tokens of all applications, in memory."""

    def __init__(self, *, clock: Clock, new_id: NewId) -> None:
        self._clock = clock
        self._new_id = new_id
        self._tokens: dict[tuple[str, str], UserToken] = {}
        self._latest: dict[str, str] = {}

    def signed(self, application: str, account: str) -> UserToken:
        """The token after a signature by ``account``: issued with the first one, prolonged by each later one.

        One that ran out is replaced by a new one.
        """
        now = self._clock()
        known = self._tokens.get((application, account))
        if known is None or known.expires_at <= now:
            token = UserToken(token=self._new_id(), issued_at=now, expires_at=now + VALID_FOR)
        else:
            token = replace(known, expires_at=now + VALID_FOR)
        self._tokens[application, account] = token
        return token

    def follow(self, token: UserToken, payload: str) -> None:
        """Let ``payload`` be the one that is told with ``token``, and no earlier one any more."""
        self._latest[token.token] = payload

    def follows(self, token: UserToken, payload: str) -> bool:
        """Whether ``token`` is told with ``payload``."""
        return self._latest.get(token.token, payload) == payload

    def revoke(self, application: str) -> None:
        """Users take their permission back: no token of the application is in force any more."""
        self._tokens = {place: token for place, token in self._tokens.items() if place[0] != application}

    def get(self, application: str, token: str) -> UserToken | None:
        """The application's ``token``, be it in force or not."""
        own = (known for (owner, _), known in self._tokens.items() if owner == application)
        return next((known for known in own if known.token == token), None)

    def active(self, application: str, token: str) -> bool:
        """Whether a payload can be pushed with ``token``."""
        known = self.get(application, token)
        return known is not None and self._clock() < known.expires_at
