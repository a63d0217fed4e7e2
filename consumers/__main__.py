"""The command ``consumers``."""

import asyncio
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final

import typer
from pydantic import SecretStr

from consumers.commands.dead_letters import dead_letters
from consumers.commands.devices import devices
from consumers.commands.outcome import exits
from consumers.runtime import discovery
from consumers.runtime.composition import run_until_signal
from consumers.runtime.settings import Settings, load
from processor.observability import logs

app: Final = typer.Typer(
    name="consumers",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="""Run consumers of the event stream, and look after what they could not handle.

    Start with `consumers list`, then `consumers run app-state`. Settings come from CONSUMERS_… variables, from .env
    and from consumers.toml; `consumers config` shows them.

    Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 not found.""",
)
app.add_typer(devices, name="devices")
app.add_typer(dead_letters, name="dead-letters")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def _print_version(wanted: bool) -> None:  # noqa: FBT001  typer calls it so
    if wanted:
        typer.echo(f"consumers {_version()}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
@exits
def run(
    name: Annotated[
        str, typer.Argument(help="A name from `consumers list`, or package.module, or package.module:Class.")
    ],
) -> None:
    """Run one consumer until SIGTERM or Ctrl-C, then finish what is in hand.

    It waits for a broker that is down and for a queue that is missing. Run several instances for more throughput:
    what one handled, the others skip, if they share a PostgreSQL database.
    """
    settings = load()
    _configure_logs(settings)
    asyncio.run(run_until_signal(discovery.find(name), settings))


@app.command("list")
@exits
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
        typer.echo(json.dumps(rows, indent=2))
        return
    for each in found:
        typer.echo(f"{each.name:20} {each.consumer.queue:24} {', '.join(each.consumer.bindings)}")
        for queue in each.consumer.command_queues:
            typer.echo(f"{'':20} {queue:24} commands")
        typer.echo(f"{'':20} {each.summary}")


@app.command()
@exits
def config(*, as_json: AsJson = False) -> None:
    """Show the settings in force, secrets masked."""
    settings = load()
    shown = {
        name: "***" if isinstance(getattr(settings, name), SecretStr) else value
        for name, value in settings.model_dump(mode="json").items()
    }
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    for name, value in shown.items():
        typer.echo(f"{name} = {value}")


def _configure_logs(settings: Settings) -> None:
    logs.configure(settings.log_format, settings.log_level, secrets=settings.passwords)


def _version() -> str:
    try:
        return version("xumm-webhook-processor")
    except PackageNotFoundError:
        return "unknown"


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
