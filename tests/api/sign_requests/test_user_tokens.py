"""Which user token a sign request is pushed with, by what the store and Xumm know of it."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from processor.api.sign_requests.user_tokens import UserTokens
from processor.core.errors import Denied, LookupFailed, StoreError, Unavailable
from processor.core.reports.report import TOKEN_LIFE
from processor.core.sign_request.sealing import Keyring, SealingKey
from processor.core.sign_request.user_token import SURE_FOR
from processor.store.adapters import StoredUserTokens
from processor.store.writer import Writer
from tests.api.sign_requests.xumm import KEYRING, XummInMemory
from tests.contract.test_store_user_tokens import TOKEN, USER, signed
from tests.sandbox.clock import FakeClock
from tests.store.samples import ACCOUNT, APP


@pytest.fixture
def store(writer: Writer, clock: FakeClock) -> StoredUserTokens:
    return StoredUserTokens(writer, KEYRING, clock=clock)


@pytest.fixture
def tokens(store: StoredUserTokens, xumm: XummInMemory, clock: FakeClock) -> UserTokens:
    return UserTokens(store=store, apis={APP: xumm}, kept=True, clock=clock)


async def sign(writer: Writer, clock: FakeClock) -> None:
    """The account signs, and its token comes with the signature."""
    await writer.record(signed(1, at=clock()))


async def find(tokens: UserTokens, account: str | None = ACCOUNT) -> str | None:
    found = await tokens.find_usable(APP, account)
    return None if found is None else found.value


async def test_fresh_token_is_usable(tokens: UserTokens, writer: Writer, clock: FakeClock, xumm: XummInMemory) -> None:
    """For a day after the signature it is used without asking Xumm."""
    await sign(writer, clock)
    clock.advance(seconds=(SURE_FOR - timedelta(seconds=1)).total_seconds())

    assert await find(tokens) == TOKEN
    assert xumm.calls == []


@pytest.mark.parametrize("account", [None, "rOther"])
async def test_account_without_a_token(
    tokens: UserTokens, writer: Writer, clock: FakeClock, account: str | None
) -> None:
    """A sign request for nobody, or for an account that never signed, is not pushed."""
    await sign(writer, clock)

    assert await find(tokens, account) is None


class NoTokens:
    """A store that cannot be read."""

    async def find(self, app: str, account: str) -> None:
        raise StoreError("gone")


async def test_store_without_keys_is_not_asked(xumm: XummInMemory, clock: FakeClock) -> None:
    """Where no tokens are stored, none is found; and where they are, a store that fails is no missing token."""
    off = UserTokens(store=NoTokens(), apis={APP: xumm}, kept=False, clock=clock)  # type: ignore[arg-type]  one method
    on = UserTokens(store=NoTokens(), apis={APP: xumm}, kept=True, clock=clock)  # type: ignore[arg-type]  one method

    assert await find(off) is None
    with pytest.raises(StoreError):
        await find(on)


async def test_expired_token_is_not_used(
    tokens: UserTokens, writer: Writer, clock: FakeClock, xumm: XummInMemory
) -> None:
    """After 30 days without a signature it is over, and Xumm need not be asked."""
    await sign(writer, clock)
    clock.advance(seconds=TOKEN_LIFE.total_seconds())

    assert await find(tokens) is None
    assert xumm.calls == []


async def test_old_token_is_checked_once_a_day(
    tokens: UserTokens, writer: Writer, clock: FakeClock, xumm: XummInMemory
) -> None:
    """A day after the signature Xumm is asked; if the token is active, that counts for a day."""
    xumm.active.add(TOKEN)
    await sign(writer, clock)
    clock.advance(days=1)
    found = [await find(tokens), await find(tokens)]
    order = len(xumm.calls)
    clock.advance(days=1)

    assert [*found, await find(tokens)] == [TOKEN] * 3
    assert (order, xumm.calls) == (1, ["token_states"] * 2)


async def test_inactive_token_is_deleted(
    tokens: UserTokens, writer: Writer, clock: FakeClock, xumm: XummInMemory
) -> None:
    """If Xumm says that it is inactive, it is not used, not asked about again, and named in no log line."""
    await sign(writer, clock)
    clock.advance(days=1)
    with capture_logs() as lines:
        found = [await find(tokens), await find(tokens)]

    assert (found, xumm.calls) == ([None, None], ["token_states"])
    assert [(line["event"], line["user"]) for line in lines] == [("token.revoked", USER)]
    assert TOKEN not in str(lines)


@pytest.mark.parametrize("error", [Unavailable("no answer"), Denied("a refusal")])
async def test_token_that_cannot_be_checked_is_tried(
    tokens: UserTokens, writer: Writer, clock: FakeClock, xumm: XummInMemory, error: LookupFailed
) -> None:
    """If Xumm does not answer, the token is used, and checked the next time."""
    await sign(writer, clock)
    clock.advance(days=1)
    xumm.fail("token_states", error)
    with capture_logs() as lines:
        unchecked = await find(tokens)
    checked = await find(tokens)

    assert (unchecked, checked) == (TOKEN, None)
    assert [(line["event"], line["error"]) for line in lines] == [("token.check_failed", type(error).__name__)]


@pytest.mark.parametrize(("pushed", "calls"), [(True, []), (False, ["token_states"])])
async def test_push_that_reached_nobody_makes_the_token_doubtful(
    tokens: UserTokens, writer: Writer, clock: FakeClock, xumm: XummInMemory, *, pushed: bool, calls: list[str]
) -> None:
    """Then Xumm is asked before the next push, however fresh the token is."""
    xumm.active.add(TOKEN)
    await sign(writer, clock)
    await tokens.note_use(await tokens.find_usable(APP, ACCOUNT), pushed=pushed)

    assert await find(tokens) == TOKEN
    assert xumm.calls == calls


async def test_doubt_ends_with_a_check(
    tokens: UserTokens, writer: Writer, clock: FakeClock, xumm: XummInMemory
) -> None:
    """A doubtful token that Xumm calls active is used without another check."""
    xumm.active.add(TOKEN)
    await sign(writer, clock)
    await tokens.note_use(await tokens.find_usable(APP, ACCOUNT), pushed=False)
    found = [await find(tokens), await find(tokens)]

    assert (found, xumm.calls) == ([TOKEN, TOKEN], ["token_states"])


async def test_request_without_a_token_casts_no_doubt(tokens: UserTokens, writer: Writer, clock: FakeClock) -> None:
    """A sign request that was made as a link says nothing about a token."""
    await sign(writer, clock)
    await tokens.note_use(None, pushed=False)

    assert await find(tokens) == TOKEN


async def test_token_that_does_not_open_is_logged(writer: Writer, clock: FakeClock, xumm: XummInMemory) -> None:
    """No token is found, and the line names the error, at a level that an operator sees."""
    await sign(writer, clock)
    other = StoredUserTokens(writer, Keyring([SealingKey.of(b"o" * 32)]), clock=clock)
    with capture_logs() as lines:
        found = await find(UserTokens(store=other, apis={APP: xumm}, kept=True, clock=clock))

    assert found is None
    assert [(line["event"], line["log_level"]) for line in lines] == [("token.unseal_failed", "error")]
