"""The user tokens with which sign requests are pushed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from processor.core.errors import LookupFailed
from processor.core.sign_request.user_token import KeptToken, is_doubtful, is_usable
from processor.store.ports import UserTokenStore
from schemas.platform import TokenStates

log = structlog.get_logger()


class TokenChecks(Protocol):
    """Xumm's API of one application."""

    async def token_states(self, tokens: Sequence[str]) -> TokenStates:
        """Which user tokens are active. Raises `LookupFailed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTokens:
    """Finds the user token to push a sign request with. A token is sent to Xumm alone, and never logged."""

    store: UserTokenStore
    apis: Mapping[str, TokenChecks]
    """By the application's name."""
    kept: bool
    """Whether tokens are stored, which needs a key."""
    clock: Callable[[], datetime]

    async def find_usable(self, app: str, account: str | None) -> KeptToken | None:
        """Return the account's token unless it is known to be inactive. A doubtful one is checked with Xumm first."""
        token = None if account is None or not self.kept else await self.store.find(app, account)
        now = self.clock()
        if token is None or not is_usable(token.facts, now):
            return None
        return token if not is_doubtful(token.facts, now) or await self._is_active(app, token) else None

    async def note_use(self, token: KeptToken | None, *, pushed: bool) -> None:
        """Note that a sign request was created with ``token``. If Xumm did not push it, the token becomes doubtful."""
        if token is not None and not pushed:
            await self.store.mark_suspect(token)

    async def _is_active(self, app: str, token: KeptToken) -> bool:
        """Ask Xumm. If it does not answer, the token counts as active, because Xumm ignores an inactive one."""
        try:
            answer = await self.apis[app].token_states([token.value])
        except LookupFailed as error:
            log.warning("token.check_failed", app=app, user=token.facts.user, error=type(error).__name__)
            return True
        active = any(state.user_token == token.value and state.active for state in answer.tokens)
        await self.store.note_check(token, active=active)
        if not active:
            log.info("token.revoked", app=app, user=token.facts.user)
        return active
