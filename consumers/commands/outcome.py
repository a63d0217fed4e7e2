"""How a command ends: what went wrong on standard error, and an exit code that says what kind it was."""

import functools
from collections.abc import Callable
from typing import Final, NoReturn, ParamSpec, TypeVar

import typer

from consumers.runtime.errors import ConsumerError, UnknownConsumer
from consumers.runtime.reason import describe
from consumers.runtime.settings import SettingsError

P = ParamSpec("P")
T = TypeVar("T")

FAILURE: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3


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
    typer.echo(message, err=True)
    raise typer.Exit(code)
