"""``consumers devices``: who is pushed to."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Final, TypeVar

import typer
from sqlalchemy import Connection

from consumers.push.registry import devices as registry
from consumers.push.registry.devices import Device, mask_token
from consumers.push.registry.subscription import parse
from consumers.push.settings import PushSettings
from consumers.runtime import discovery
from consumers.runtime.composition import open_database
from consumers.runtime.errors import ConsumerError
from consumers.runtime.settings import load_settings
from processor.observability.terminal import AsJson, CommandError, ExitCode, complain, say, say_rows
from schemas.base64url import encode
from schemas.devices import Channel, Platform

T = TypeVar("T")

devices: Final = typer.Typer(
    no_args_is_help=True,
    help="""Devices that the push consumer serves.

    A device is registered under a user reference (`data.user` of the events) or under an account. An app registers
    itself through your backend; these commands are for trying out and for support.""",
)

OwnerArgument = Annotated[str, typer.Argument(help="User reference (uuid) or account (r…).")]
TokenArgument = Annotated[
    str, typer.Argument(help="Registration token of the device; `-` reads it from standard input.")
]
TokenOrSubscription = Annotated[
    str,
    typer.Argument(
        help="Registration token of the device, or the JSON of a browser's PushSubscription; `-` reads it from "
        "standard input."
    ),
]
LONGEST: Final = timedelta(minutes=1)
"""For a command that is one transaction of a database."""
PLATFORMS: Final[Mapping[Channel, Platform]] = {"fcm": "android", "apns": "ios", "webpush": "web"}


@devices.command()
def add(
    owner: OwnerArgument,
    token: TokenOrSubscription,
    platform: Annotated[Platform | None, typer.Option(help="What the device is; by default by channel.")] = None,
    channel: Annotated[Channel, typer.Option(help="The provider that its token is of.")] = "fcm",
    locale: Annotated[str | None, typer.Option(help="Language of its user, such as de-CH.")] = None,
) -> None:
    """Register a device, or renew its channel, platform and locale.

    With `--channel webpush`, TOKEN is what the browser's `JSON.stringify(subscription)` gives.
    """
    wanted = _token(token)
    try:
        found = parse(wanted, _settings().push_services) if channel == "webpush" else None
        device = Device(
            owner=owner,
            token=wanted if found is None else found.endpoint,
            platform=platform or PLATFORMS[channel],
            locale=locale,
            channel=channel,
            keys=None if found is None else found.keys,
        )
        _in_registry(lambda connection: registry.add(connection, device))
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None
    say(f"registered {mask_token(device.token)} for {owner}")


@devices.command("list")
def list_devices(
    owner: Annotated[str | None, typer.Argument(help="Only those of this user or account.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List devices, tokens masked."""
    found = _in_registry(lambda connection: registry.list_devices(connection, None if owner is None else [owner]))
    rows = [
        {
            "owner": each.owner,
            "token": mask_token(each.token),
            "channel": each.channel,
            "platform": each.platform,
            "locale": each.locale,
            "user": each.user,
        }
        for each in found
    ]
    say_rows(rows, as_json=as_json)


@devices.command()
def remove(
    token: TokenArgument,
    owner: Annotated[str | None, typer.Option(help="Only the registration under this owner.")] = None,
) -> None:
    """Forget a device."""
    wanted = _token(token)
    if not _in_registry(lambda connection: registry.remove(connection, wanted, owner=owner)):
        raise CommandError("no such device", ExitCode.NO)
    say(f"removed {mask_token(wanted)}")


@devices.command("subscription-key")
def subscription_key() -> None:
    """Show the public key that browsers subscribe with: `applicationServerKey` of `pushManager.subscribe`."""
    path = _settings().webpush_key
    if path is None:
        raise CommandError("CONSUMERS_WEBPUSH_KEY: name the file of the private key", ExitCode.USAGE)
    try:
        from consumers.push.channels.signing_key import SigningKey

        say(encode(SigningKey.read(path, setting="CONSUMERS_WEBPUSH_KEY").public_point))
    except ImportError:
        raise CommandError("webpush needs its extra: install xumm-webhook-processor[webpush]", ExitCode.USAGE) from None
    except ConsumerError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None


def _settings() -> PushSettings:
    return load_settings(PushSettings).settings


def _token(argument: str) -> str:
    return sys.stdin.readline().strip() if argument == "-" else argument


def _in_registry(job: Callable[[Connection], T]) -> T:
    async def run() -> T:
        async with open_database(discovery.find("push"), _settings()) as database:
            return await database.write(job)

    with bounded():
        return asyncio.run(run())


@contextmanager
def bounded(limit: timedelta = LONGEST) -> Iterator[None]:
    """End the process if the block takes longer: a driver may wait for a silent database, and nothing stops it."""
    timer = threading.Timer(limit.total_seconds(), _give_up, [limit])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _give_up(limit: timedelta) -> None:
    complain("consumers", f"the database gave no answer within {limit.total_seconds():g} s")
    sys.stderr.flush()
    os._exit(ExitCode.FAILED)
