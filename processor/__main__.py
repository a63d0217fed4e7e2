"""The command ``processor``."""

import os
import sys
from typing import Annotated

import typer

from processor import __version__
from processor.commands import (
    contract,
    keys,
    payloads,
    records,
    sandbox,
    service,
    terminal,
    tokens,
    topology,
    trigger,
    verify,
    watches,
)
from processor.core.errors import ProcessorError, SettingsError

_EPILOG = (
    "Exit codes: 0 yes or done; 1 no (invalid, differs, refused, not found); 2 wrong command line or settings; "
    "3 could not be done (broker, database or service out of reach); 130 interrupted."
)

app = typer.Typer(
    name="processor",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=_EPILOG,
    help="Turns Xumm webhooks, payload status and API answers into one dependable event stream on RabbitMQ.",
)
for _command in (
    service.run,
    service.dev,
    service.config,
    verify.verify,
    trigger.trigger,
    records.deliveries,
    watches.outcomes,
    contract.schema,
):
    app.command()(_command)
app.add_typer(records.quarantine, name="quarantine")
app.add_typer(payloads.commands, name="payloads")
app.add_typer(sandbox.commands, name="sandbox")
app.add_typer(watches.commands, name="watches")
app.add_typer(keys.commands, name="keys")
app.add_typer(tokens.commands, name="tokens")
app.add_typer(topology.commands, name="topology")


def _show_version(wanted: bool) -> None:  # noqa: FBT001  the signature of an option's callback
    if wanted:
        terminal.say(f"processor {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run a command; end the process with its exit code."""
    code = _outcome()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our answer left, such as `head`. Python must not complain of that when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _outcome() -> int | str | None:
    try:
        app()
    except SystemExit as done:
        return done.code
    except KeyboardInterrupt:
        return 130
    except terminal.CommandError as error:
        return _failed(error, error.code)
    except SettingsError as error:
        return _failed(error, terminal.Code.USAGE)
    except (ProcessorError, OSError) as error:
        return _failed(error, terminal.Code.FAILED)
    return terminal.Code.OK


def _failed(error: Exception, code: terminal.Code) -> int:
    terminal.complain(str(error) or type(error).__name__)
    return code


if __name__ == "__main__":
    main()
