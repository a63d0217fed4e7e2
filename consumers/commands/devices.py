"""``consumers devices``: who is pushed to."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import typer
from sqlalchemy import Connection

from consumers.commands.outcome import NOT_FOUND, USAGE, exits, fail
from consumers.push import devices as registry
from consumers.push.devices import Device, Platform, masked
from consumers.runtime import discovery
from consumers.runtime.composition import open_database
from consumers.runtime.settings import load

T = TypeVar("T")

devices: Final = typer.Typer(
    no_args_is_help=True,
    help="""Devices that the push consumer serves.

    A device is registered under a user reference (`data.user` of the events) or under an account. An app registers
    itself through your backend; these commands are for trying out and for support.""",
)

Owner = Annotated[str, typer.Argument(help="User reference (uuid) or account (r…).")]
Token = Annotated[str, typer.Argument(help="Registration token of the device; `-` reads it from standard input.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@devices.command()
@exits
def add(
    owner: Owner,
    token: Token,
    platform: Annotated[Platform, typer.Option(help="What the device is.")] = "android",
    locale: Annotated[str | None, typer.Option(help="Language of its user, such as de-CH.")] = None,
) -> None:
    """Register a device, or renew its platform and locale."""
    device = Device(owner=owner, token=_token(token), platform=platform, locale=locale)
    try:
        _in_registry(lambda connection: registry.add(connection, device))
    except ValueError as error:
        fail(str(error), USAGE)
    typer.echo(f"registered {masked(device.token)} for {owner}")


@devices.command("list")
@exits
def list_devices(
    owner: Annotated[str | None, typer.Argument(help="Only those of this user or account.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List devices, tokens masked."""
    found = _in_registry(lambda connection: registry.list_of(connection, None if owner is None else [owner]))
    rows = [
        {"owner": each.owner, "token": masked(each.token), "platform": each.platform, "locale": each.locale}
        for each in found
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo(f"{row['owner']:36}  {row['token']}  {row['platform']:8} {row['locale'] or ''}")


@devices.command()
@exits
def remove(
    token: Token,
    owner: Annotated[str | None, typer.Option(help="Only the registration under this owner.")] = None,
) -> None:
    """Forget a device."""
    wanted = _token(token)
    if not _in_registry(lambda connection: registry.remove(connection, wanted, owner=owner)):
        fail("no such device", NOT_FOUND)
    typer.echo(f"removed {masked(wanted)}")


def _token(argument: str) -> str:
    return sys.stdin.readline().strip() if argument == "-" else argument


def _in_registry(job: Callable[[Connection], T]) -> T:
    async def run() -> T:
        async with open_database(discovery.find("push"), load()) as database:
            return await database.write(job)

    return asyncio.run(run())
