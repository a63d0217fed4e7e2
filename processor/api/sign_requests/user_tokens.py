"""The user tokens with which sign requests are pushed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from processor.core.errors import LookupFailed
from processor.core.payload.user_token import KeptToken, is_doubtful, is_usable
from schemas.platform import TokenStates

log = structlog.get_logger()


class TokenStore(Protocol):
    """Where user tokens are kept. All of it raises `StoreError`."""

    async def of_account(self, app: str, account: str) -> KeptToken | None:
        """The token of an account that was signed with last, None if none is known that may be alive."""
        ...

    async def checked(self, token: KeptToken, *, active: bool) -> None:
        """Note what Xumm said of a token; one that is revoked is deleted."""
        ...

    async def suspect(self, token: KeptToken) -> None:
        """Note that a push with it led nowhere."""
        ...


class TokenChecks(Protocol):
    """Xumm's API of one application."""

    async def token_states(self, tokens: Sequence[str]) -> TokenStates:
        """Which user tokens are active. Raises `LookupFailed`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTokens:
    """Finds the user token to push a sign request with. A token is sent to Xumm alone, and never logged."""

    store: TokenStore
    apis: Mapping[str, TokenChecks]
    """By the application's name."""
    kept: bool
    """Whether tokens are stored, which needs a key."""
    clock: Callable[[], datetime]

    async def find_usable(self, app: str, account: str | None) -> KeptToken | None:
        """Return the account's token unless it is known to be inactive. A doubtful one is checked with Xumm first."""
        token = None if account is None or not self.kept else await self.store.of_account(app, account)
        now = self.clock()
        if token is None or not is_usable(token.facts, now):
            return None
        return token if not is_doubtful(token.facts, now) or await self._is_active(app, token) else None

    async def note_use(self, token: KeptToken | None, *, pushed: bool) -> None:
        """Note that a sign request was created with ``token``. If Xumm did not push it, the token becomes doubtful."""
        if token is not None and not pushed:
            await self.store.suspect(token)

    async def _is_active(self, app: str, token: KeptToken) -> bool:
        """Ask Xumm. If it does not answer, the token counts as active, because Xumm ignores an inactive one."""
        try:
            answer = await self.apis[app].token_states([token.value])
        except LookupFailed as error:
            log.warning("token.check_failed", app=app, user=token.facts.user, error=type(error).__name__)
            return True
        active = any(state.user_token == token.value and state.active for state in answer.tokens)
        await self.store.checked(token, active=active)
        if not active:
            log.info("token.revoked", app=app, user=token.facts.user)
        return active


def log_unopened(error: str) -> None:
    """Log that a sealed token cannot be opened. ``error`` names the key, never the token."""
    log.error("token.unseal_failed", error=error, hint="a sealing key is missing, or somebody changed the table")
