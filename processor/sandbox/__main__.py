"""``python -m processor.sandbox``: run a sandbox until interrupted, and print each webhook that it sends."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from processor.sandbox.clock import random_uuid
from processor.sandbox.faults import Faults, parse_switches
from processor.sandbox.payload import Application
from processor.sandbox.sender import SenderTiming
from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
from processor.sandbox.webhook_attempt import Attempt, describe

DEFAULT_PORT = 8600


def render(attempt: Attempt) -> str:
    """One attempt for the terminal, in two lines."""
    return (
        f"{attempt.at:%H:%M:%S} webhook attempt {attempt.number} of {attempt.payload} -> {attempt.url}\n"
        f"         {describe(attempt.outcome)}"
    )


async def serve(applications: Sequence[Application], settings: SandboxSettings, faults: Faults) -> None:
    """Run a sandbox until SIGINT or SIGTERM; print its addresses and each attempt to send a webhook."""
    stop = asyncio.Event()
    # A shell starts a background process with SIGINT ignored; a handler of our own undoes that.
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Sandbox(applications, settings, on_attempt=lambda attempt: _print(render(attempt))) as sandbox:
        sandbox.faults.set(faults)
        _print(f"API     {sandbox.api_url}")
        _print(f"ledger  {sandbox.ledger_url}")
        _print(f"faults  PUT {sandbox.base_url}/faults, in JSON")
        for application in applications:
            _print(f"x-api-key {application.key}  webhooks to {application.webhook_url or 'nowhere'}")
        await stop.wait()


def run(  # noqa: PLR0913  a command's options
    *,
    port: int = DEFAULT_PORT,
    application: str = "",
    secret: str = "",
    webhook: str = "",
    factor: float = 1.0,
    faults: Faults | None = None,
    hosts: Sequence[str] = (),
) -> None:
    """Run a sandbox until interrupted; missing credentials are made up."""
    owner = Application(key=application or random_uuid(), secret=secret or random_uuid(), webhook_url=webhook or None)
    if not secret:
        _print(f"x-api-secret {owner.secret} (made up for this run)")
    settings = SandboxSettings(port=port, sender=SenderTiming(factor=factor), hosts=tuple(hosts))
    asyncio.run(serve([owner], settings, faults or Faults()))


def command(  # noqa: PLR0913  likewise
    *,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for a free one.")] = DEFAULT_PORT,
    application: Annotated[str, typer.Option(help="API key.", envvar="SANDBOX_API_KEY")] = "",
    secret: Annotated[str, typer.Option(help="API secret.", envvar="SANDBOX_API_SECRET")] = "",
    webhook: Annotated[str, typer.Option(help="Where webhooks go, a URL.")] = "",
    factor: Annotated[float, typer.Option(help="Shortens the waits between attempts.")] = 1.0,
    fault: Annotated[list[str] | None, typer.Option(help="SWITCH=VALUE, such as webhook=lost; repeatable.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="A name to answer to besides localhost; repeatable.")] = None,
) -> None:
    """Run a Xumm for development: API, phone, status sockets and ledgers on one port."""
    try:
        faults = parse_switches(fault or [])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fault") from None
    run(
        port=port,
        application=application,
        secret=secret,
        webhook=webhook,
        factor=factor,
        faults=faults,
        hosts=host or (),
    )


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    typer.run(command)
