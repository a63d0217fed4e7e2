"""``tokens``: the user tokens that are kept, and their keys."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from processor.commands.configured import load_settings, read_store
from processor.observability.terminal import AsJson, CommandError, ExitCode, answer, say, say_rows

commands = typer.Typer(no_args_is_help=True, help="User tokens at rest. The tokens themselves are never shown.")


@commands.command(name="list")
def list_(
    app: Annotated[str | None, typer.Option(help="Of this application only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, the last used first.")] = 100,
    *,
    as_json: AsJson = False,
) -> None:
    """List the users whose tokens are kept, the key of each token, and its expiry.

    Try:

      processor tokens list --app shop
    """
    from processor.store.user_tokens import list_latest

    with read_store(load_settings()) as store:
        rows = [_row(facts) for facts in store.run(list_latest, app, limit)]
    say_rows(rows, as_json=as_json)


@commands.command()
def rotate() -> None:
    """Seal every token with the first key, so that the others can be removed. On SQLite, stop the service first.

    Exits with 1 if some cannot be opened: their key is not among those that are set.

    Try:

      PROCESSOR_TOKEN_KEYS=new-key,old-key processor tokens rotate
    """
    from processor.settings.service import keyring_of
    from processor.store import user_tokens
    from processor.store.store import Store

    loaded = load_settings()
    keyring = keyring_of(loaded)
    if keyring is None:
        raise CommandError("no key: set PROCESSOR_TOKEN_KEYS (openssl rand -base64 32)", ExitCode.USAGE)
    with Store.open(loaded.database_url, keyring) as store:
        resealed, broken = store.run(user_tokens.rotate, keyring)
    say(f"{resealed} sealed anew with key {keyring.active}; {broken} cannot be opened")
    answer(yes=not broken)


def _row(facts: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    state = "revoked" if facts.revoked_at else "expired" if facts.expires_at <= now else "alive"
    return {
        "app": facts.app,
        "user": facts.user,
        "account": facts.account,
        "key": facts.key_id,
        "state": state,
        "signed_at": facts.signed_at.isoformat(timespec="seconds"),
        "expires_at": facts.expires_at.isoformat(timespec="seconds"),
    }
