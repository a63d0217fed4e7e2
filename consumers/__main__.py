"""The command ``consumers``."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final, NoReturn

import typer

from consumers.commands.dead_letters import dead_letters
from consumers.commands.devices import devices
from consumers.runtime import discovery
from consumers.runtime.composition import run_until_signal
from consumers.runtime.errors import ConsumerError, UnknownConsumer
from consumers.runtime.settings import load_settings
from processor.observability import logs
from processor.observability.terminal import EXIT_CODES_HELP, AsJson, ExitCode, add_version, run_command, say, say_json
from processor.settings.listing import say_settings
from processor.settings.program import SettingsError

app: Final = typer.Typer(
    name="consumers",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=EXIT_CODES_HELP,
    help="""Run consumers of the event stream, and manage the messages that they could not handle.

    Start with `consumers list`, then `consumers run app-state`. Settings come from CONSUMERS_… variables, from .env
    and from consumers.toml; `consumers config` shows them.""",
)
add_version(app)
app.add_typer(devices, name="devices")
app.add_typer(dead_letters, name="dead-letters")


@app.command()
def run(
    name: Annotated[
        str, typer.Argument(help="A name from `consumers list`, or package.module, or package.module:Class.")
    ],
) -> None:
    """Run one consumer until SIGTERM or Ctrl-C, then finish the messages it holds.

    It waits for a broker that is down and for a queue that is missing. Run several instances for more throughput:
    what one handled, the others skip, if they share a PostgreSQL database.
    """
    found = discovery.find(name)
    settings = load_settings(found.consumer.settings).settings
    logs.configure(settings.log_format, settings.log_level, secrets=settings.secrets)
    asyncio.run(run_until_signal(found, settings))


@app.command("list")
def list_consumers(*, as_json: AsJson = False) -> None:
    """List the consumers that can be run, with their queues and bindings."""
    found = discovery.find_all()
    if as_json:
        rows = [
            {
                "name": each.name,
                "queue": each.consumer.queue,
                "command_queues": list(each.consumer.command_queues),
                "bindings": list(each.consumer.bindings),
                "summary": each.summary,
            }
            for each in found
        ]
        say_json(rows)
        return
    for each in found:
        say(f"{each.name:20} {each.consumer.queue:24} {', '.join(each.consumer.bindings)}")
        for queue in each.consumer.command_queues:
            say(f"{'':20} {queue:24} commands")
        say(f"{'':20} {each.summary}")


@app.command()
def config(*, as_json: AsJson = False) -> None:
    """Show the settings of every consumer and where each comes from, secrets masked."""
    say_settings(load_settings(discovery.all_settings()), as_json=as_json)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code."""
    codes = {SettingsError: ExitCode.USAGE, UnknownConsumer: ExitCode.NO, ConsumerError: ExitCode.FAILED}
    run_command(app, lambda: codes, arguments)


if __name__ == "__main__":
    main()
