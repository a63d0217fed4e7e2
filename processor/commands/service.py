"""``run``, ``dev`` and ``config``: the service itself and its settings."""

import os
import sys
from typing import Annotated

import typer

from processor.commands.terminal import AsJson, configuration, say, say_json, say_table, settings


def run() -> None:
    """Run the service until SIGTERM or Ctrl-C.

    It needs an application: PROCESSOR_APPLICATIONS__SHOP__API_KEY and PROCESSOR_APPLICATIONS__SHOP__API_SECRET, as
    Xumm's developer console shows them. Without PROCESSOR_AMQP_URL events go nowhere beyond this process.

    Try:

      processor run

      PROCESSOR_CONFIG_FILE=/etc/processor.toml processor run
    """
    from processor.core.errors import SettingsError
    from processor.observability import logs
    from processor.settings.loading import NO_APPLICATION
    from processor.settings.service import secrets_of

    loaded = settings()
    if not loaded.applications:
        raise SettingsError(NO_APPLICATION)
    from processor import app

    logs.configure(loaded.log_format, loaded.log_level, secrets=secrets_of(loaded))
    app.run(loaded)


def dev(
    *,
    port: Annotated[int, typer.Option(help="The service's port on 127.0.0.1.", min=1, max=65535)] = 8000,
    sandbox_port: Annotated[
        int, typer.Option(help="The sandbox's port on 127.0.0.1; 0 for a free one.", min=0, max=65535)
    ] = 8600,
    host: Annotated[list[str] | None, typer.Option(help="A name to answer to besides localhost; repeatable.")] = None,
) -> None:
    """Run everything here, without Xumm and without a broker.

    That is the service, a sandbox in place of Xumm, and the consumers, in one process.

    Try:

      processor dev

      processor dev --port 9000 --sandbox-port 9001
    """
    from processor.dev import composition

    composition.run(port, sandbox_port, tuple(host or ()))


def config(
    *,
    as_json: AsJson = False,
    example: Annotated[bool, typer.Option("--example", help="A documented processor.toml to start from.")] = False,
) -> None:
    """Show the settings and where each comes from.

    Secrets are masked. Precedence: environment, .env, processor.toml (or PROCESSOR_CONFIG_FILE), default.

    Try:

      processor config

      processor config --example > processor.toml
    """
    from processor.settings.listing import listed, template

    if example:
        sys.stdout.write(template())
        return
    rows = listed(configuration(os.environ))
    if as_json:
        say_json(
            [{"setting": row.name, "variable": row.variable, "value": row.value, "from": row.origin} for row in rows]
        )
        return
    say_table(("SETTING", "VALUE", "FROM"), [(row.name, row.shown, row.origin) for row in rows])
    if not any(row.name.startswith("applications.") for row in rows):
        say("\nNo application is configured: `processor run` will refuse to start.")
