"""What a command says, and how it ends: what went wrong on standard error, and an exit code of its kind."""

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, NoReturn, ParamSpec, TypeVar

import typer

from consumers.runtime.errors import ConsumerError, UnknownConsumer
from consumers.runtime.settings import SettingsError
from processor.observability.redaction import describe

P = ParamSpec("P")
T = TypeVar("T")

FAILURE: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
LONGEST: Final = timedelta(minutes=1)
"""For a command that is one transaction of a database."""


def exits(command: Callable[P, T]) -> Callable[P, T]:
    """Turn the errors that ``command`` may raise into one line and an exit code."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except SettingsError as error:
            fail(str(error), USAGE)
        except UnknownConsumer as error:
            fail(str(error), NOT_FOUND)
        except ConsumerError as error:
            fail(str(error), FAILURE)
        except ExceptionGroup as group:
            ours, others = group.split(ConsumerError)
            if ours is None or others is not None:
                raise
            fail("; ".join(describe(error) for error in ours.exceptions), FAILURE)

    return guarded


def fail(message: str, code: int) -> NoReturn:
    """Say ``message`` and exit with ``code``."""
    say(message, err=True)
    raise typer.Exit(code)


def say(text: str, *, err: bool = False) -> None:
    """Print ``text``. What terminals obey is escaped, but for ends of lines."""
    typer.echo("\n".join(map(printable, text.split("\n"))), err=err)


def printable(text: str) -> str:
    """``text`` on one line, with escapes for what is not printable: it may come from anybody."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


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
    sys.stderr.write(f"the database gave no answer within {limit.total_seconds():g} s\n")
    sys.stderr.flush()
    os._exit(FAILURE)
