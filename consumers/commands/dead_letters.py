"""``consumers dead-letters``: what failed for good."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from consumers.runtime.settings import ConsumerSettings, load_settings
from consumers.runtime.source.dead_letters import DeadLetter, DeadLetters
from processor.observability.redaction import clean_line
from processor.observability.terminal import AsJson, CommandError, ExitCode, complain, say, say_json, say_result
from schemas.text import escape_unprintable

dead_letters: Final = typer.Typer(
    no_args_is_help=True,
    help="""Messages that a consumer gave up on.

    Look at the reason with `list` and `show`, mend the cause, then `redrive`. Looking does not consume.""",
)

QueueArgument = Annotated[
    str, typer.Argument(help="The consumer's queue, such as app-state; its dead letters are in app-state.dead.")
]
DROPPED_LATER: Final = (
    "The broker drops dead letters that are older than PROCESSOR_TOPOLOGY__DEAD_TTL, 30 days unless set otherwise."
)


@dead_letters.command("list")
def list_letters(
    queue: QueueArgument,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    *,
    as_json: AsJson = False,
) -> None:
    """List dead letters: event, attempts and reason. How long the broker keeps them is PROCESSOR_TOPOLOGY__DEAD_TTL."""
    found = asyncio.run(_of(queue).first(limit))
    if as_json:
        say_json([_summary(each) for each in found])
        return
    for each in found:
        fields = (each.event_id, each.type, f"attempts {each.attempts}", clean_line(each.reason))
        say("  ".join(escape_unprintable(str(field)) for field in fields))
    if found:
        complain("consumers", DROPPED_LATER)


@dead_letters.command()
def show(
    queue: QueueArgument,
    event_id: Annotated[str, typer.Argument(help="Id of the event.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter whole."""
    found = asyncio.run(_of(queue).find(event_id))
    if found is None:
        raise CommandError(f"no dead letter of {queue} has the event id {event_id}", ExitCode.NO)
    whole = {**_summary(found), "headers": found.headers, "event": found.event}
    if as_json:
        say_json(whole)
        return
    for name, value in whole.items():
        say(f"{name}: {json.dumps(value, indent=2) if isinstance(value, dict) else escape_unprintable(str(value))}")


@dead_letters.command()
def redrive(
    queue: QueueArgument,
    event_id: Annotated[str | None, typer.Argument(help="Id of the one event to redrive.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Redrive all of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give one dead letter, or all with --all, back to their queue. Attempts start over."""
    if (event_id is None) != every:
        raise CommandError("name an event id, or say --all", ExitCode.USAGE)
    count = asyncio.run(_of(queue).redrive(event_id))
    if event_id is not None and not count:
        raise CommandError(f"no dead letter of {queue} has the event id {event_id}", ExitCode.NO)
    say_result({"redriven": count}, f"redriven: {count}", as_json=as_json)


def _of(queue: str) -> DeadLetters:
    return DeadLetters(load_settings(ConsumerSettings).settings.brokers[0], queue)


def _summary(letter: DeadLetter) -> dict[str, Any]:
    whole = asdict(letter)
    return {name: whole[name] for name in whole if name not in {"queue", "headers", "body"}}
