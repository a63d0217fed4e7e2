"""The command ``processor``."""

from typing import NoReturn

import typer

from processor.commands import (
    deliveries,
    keys,
    payloads,
    sandbox,
    schema,
    service,
    tokens,
    topology,
    trigger,
    verify,
    watches,
)
from processor.core.errors import ProcessorError
from processor.observability.terminal import EXIT_CODES_HELP, ExitCode, add_version, run_command

app = typer.Typer(
    name="processor",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=EXIT_CODES_HELP,
    help="Turns Xumm webhooks, payload status and API answers into one dependable event stream on RabbitMQ.",
)
add_version(app)
for _command in (
    service.run,
    service.dev,
    service.config,
    verify.verify,
    trigger.trigger,
    deliveries.deliveries,
    watches.outcomes,
    schema.schema,
):
    app.command()(_command)
app.add_typer(deliveries.quarantine, name="quarantine")
app.add_typer(payloads.commands, name="payloads")
app.add_typer(sandbox.commands, name="sandbox")
app.add_typer(watches.commands, name="watches")
app.add_typer(keys.commands, name="keys")
app.add_typer(tokens.commands, name="tokens")
app.add_typer(topology.commands, name="topology")


def main() -> NoReturn:
    """Run a command and exit with its code."""
    run_command(app, _exit_codes)


def _exit_codes() -> dict[type[Exception], ExitCode]:
    from processor.settings.program import SettingsError  # not for `--help`: it takes a while to import

    return {SettingsError: ExitCode.USAGE, ProcessorError: ExitCode.FAILED, OSError: ExitCode.FAILED}


if __name__ == "__main__":
    main()
