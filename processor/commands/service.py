"""``run``, ``dev`` and ``config``: the service itself and its settings."""

import sys
from typing import Annotated

import typer

from processor.commands.configured import load_configuration, load_settings
from processor.observability.terminal import AsJson, say


def run() -> None:
    """Run the service until SIGTERM or Ctrl-C.

    It needs an application: PROCESSOR_APPLICATIONS__SHOP__API_KEY and PROCESSOR_APPLICATIONS__SHOP__API_SECRET, as
    Xumm's developer console shows them. Without PROCESSOR_AMQP_URL events go nowhere beyond this process.

    Try:

      processor run

      PROCESSOR_CONFIG_FILE=/etc/processor.toml processor run
    """
    from processor.observability import logs
    from processor.settings.program import SettingsError
    from processor.settings.service import NO_APPLICATION, secrets_of

    loaded = load_settings()
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
    from processor.settings.listing import say_settings, write_template
    from processor.settings.service import Settings

    if example:
        sys.stdout.write(write_template(Settings))
        return
    configuration = load_configuration()
    say_settings(configuration, as_json=as_json)
    if not configuration.settings.applications and not as_json:
        say("\nNo application is configured: `processor run` will refuse to start.")
