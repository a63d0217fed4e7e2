"""Whether a sign request can be pushed to its user: with a user token that is kept, and alive."""

from collections.abc import Callable, Mapping, Sequence
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


class UserTokens:
    """Finds the token to push with. Nothing here tells a token to anybody but Xumm."""

    def __init__(
        self, store: TokenStore, apis: Mapping[str, TokenChecks], *, kept: bool, clock: Callable[[], datetime]
    ) -> None:
        """``apis`` by the application's name; ``kept``: whether there is a key to keep tokens with."""
        self._store = store
        self._apis = apis
        self._clock = clock
        self.kept = kept

    async def usable(self, app: str, account: str | None) -> KeptToken | None:
        """The account's token if it is alive, as far as is known. One in doubt is checked first."""
        token = None if account is None or not self.kept else await self._store.of_account(app, account)
        now = self._clock()
        if token is None or not is_usable(token.facts, now):
            return None
        return token if not is_doubtful(token.facts, now) or await self._is_active(app, token) else None

    async def used(self, token: KeptToken | None, *, pushed: bool) -> None:
        """A sign request was made with ``token``. If it was not pushed, the token is in doubt from now on."""
        if token is not None and not pushed:
            await self._store.suspect(token)

    async def _is_active(self, app: str, token: KeptToken) -> bool:
        """What Xumm says; if it says nothing, the token is worth a try: Xumm ignores one that is dead."""
        try:
            answer = await self._apis[app].token_states([token.value])
        except LookupFailed as error:
            log.warning("token.check_failed", app=app, user=token.facts.user, error=type(error).__name__)
            return True
        active = any(state.user_token == token.value and state.active for state in answer.tokens)
        await self._store.checked(token, active=active)
        if not active:
            log.info("token.revoked", app=app, user=token.facts.user)
        return active


def tell_unopened(error: str) -> None:
    """Log that a sealed token cannot be read. ``error`` names the key, never the token."""
    log.error("token.unseal_failed", error=error, hint="a sealing key is missing, or somebody changed the table")
