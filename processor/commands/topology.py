"""``topology``: RabbitMQ's exchanges, queues, bindings and policies."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import typer

from processor.commands.configured import load_settings
from processor.observability.terminal import AsJson, CommandError, ExitCode, answer, say_result

if TYPE_CHECKING:
    from processor.broker.topology.difference import Plan

commands = typer.Typer(no_args_is_help=True, help="RabbitMQ's exchanges, queues, bindings and policies.")


@commands.command()
def plan(*, as_json: AsJson = False) -> None:
    """Show what `apply` would change. Changes nothing."""
    from processor.broker.topology import operations

    _run(operations.plan, as_json=as_json)


@commands.command()
def apply(*, as_json: AsJson = False) -> None:
    """Create missing objects and update those that differ; delete nothing.

    Exits with 1 if a difference is left that only an operator can mend. Applying again changes nothing.

    Try:

      PROCESSOR_AMQP_URL=amqp://user:password@broker/ processor topology apply
    """
    from processor.broker.topology import operations

    found = _run(operations.apply, as_json=as_json)
    answer(yes=all(change.mendable for change in found.changes))


@commands.command()
def verify(*, as_json: AsJson = False) -> None:
    """Exit with 0 if the broker has the topology of the settings, with 1 if not."""
    from processor.broker.topology import operations

    found = _run(operations.verify, as_json=as_json)
    answer(yes=found.clean)


def _run(operation: Callable[..., Coroutine[Any, Any, "Plan"]], *, as_json: bool) -> "Plan":
    """Show and return the plan of ``operation``. Raises `CommandError`."""
    from processor.broker.topology.desired import desired
    from processor.broker.topology.management import TopologyError, parse_access

    loaded = load_settings()
    if loaded.management_url is None:
        raise CommandError("amqp_url is not set: there is no broker to look after (PROCESSOR_AMQP_URL)", ExitCode.USAGE)
    try:
        access = parse_access(loaded.management_url.get_secret_value(), loaded.amqp_urls[0] if loaded.amqp_urls else "")
        wanted = desired(loaded.queues, loaded.topology)
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None
    try:
        found: Plan = asyncio.run(operation(access, wanted))
    except TopologyError as error:
        raise CommandError(str(error)) from None
    say_result(found.as_json(), str(found), as_json=as_json)
    return found
