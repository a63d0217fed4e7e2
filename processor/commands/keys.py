"""``keys``: the keys by which other services identify themselves."""

import re
import secrets
from typing import Annotated, Final

import typer

from processor.observability.terminal import AsJson, CommandError, ExitCode, say_result

commands = typer.Typer(no_args_is_help=True, help="Keys of other services that may call this one.")
_ENTROPY: Final = 32
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@commands.callback()
def _group() -> None:
    pass


@commands.command()
def create(
    name: Annotated[str, typer.Argument(help="A name for the service with the key: small letters, digits, - and _.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Create a key, and show the setting by which the service knows it.

    The key is shown once and stored nowhere. The setting holds only its hash.

    Try:

      processor keys create backend
    """
    from processor.core.access.service_key import PREFIX, digest_of
    from processor.settings.service import Settings

    if not _NAME.fullmatch(name):
        raise CommandError("a name is made of small letters, digits, - and _", ExitCode.USAGE)
    key = PREFIX + secrets.token_urlsafe(_ENTROPY)
    digest = digest_of(key).hex()
    text = f"key      {key}\nsetting  {Settings.variable_of(('service_keys', name, 'sha256'))}={digest}"
    say_result({"name": name, "key": key, "sha256": digest}, text, as_json=as_json)
