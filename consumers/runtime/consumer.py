"""The base class of consumers. The annotations of its methods name the events that they handle."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType, UnionType
from typing import Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

from sqlalchemy import Connection, MetaData

from consumers.runtime.database import ConsumerDatabase
from consumers.runtime.settings import ConsumerSettings
from schemas.commands import DeviceCommand
from schemas.events import CloudEvent
from schemas.topology import DEFAULT_QUEUES

Handler = Callable[..., Any]
Handled = CloudEvent | DeviceCommand
"""An event or a command."""
HANDLER_PARAMETERS = 2  # the event, and the transaction or context


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The second argument of a coroutine handler."""

    event_id: str
    attempts: int
    """How often handling this message has failed before."""
    database: ConsumerDatabase
    """`read` and `write` run plain functions over a transaction, off the event loop. Each call commits by itself: store
    progress there, since an effect outside the database can be repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The argument of a consumer's constructor."""

    settings: Any
    """Of the model that the consumer names as its ``settings``."""
    database: ConsumerDatabase


class Consumer:
    """Base of consumers. A subclass names its ``bindings`` and has one public method for each event that it handles.

    A **plain method** ``(self, event: ResolveValidated, transaction: Connection)`` runs in one database transaction
    with the note that the event was handled: its effect happens exactly once. It runs off the event loop and must do
    nothing but database work. A **coroutine method** ``(self, event: SignOpened | SignSigned, context: Context)`` runs
    on the event loop and may wait; its event is noted as handled after it returns, so it can run twice.

    `Retry` or an unexpected exception has the message retried later, `Fatal` dead-letters it. Messages of one payload
    are handled one after another, but a retried one comes after its successors: compare ``event.sequence``. Events
    without a handler are acknowledged. A consumer is an async context manager for the resources that it holds open.
    """

    queue: ClassVar[str] = ""
    """By default the name it runs under."""
    bindings: ClassVar[tuple[str, ...]] = ()
    """Topic patterns such as ``*.resolve.#``; by default those of the queue in `schemas.topology`."""
    command_queues: ClassVar[tuple[str, ...]] = ()
    """Queues of commands that it consumes beside its own queue."""
    settings: ClassVar[type[ConsumerSettings]] = ConsumerSettings
    """Loaded before it starts, from ``CONSUMERS_…`` variables: a subclass with fields of its own, if it has any."""
    tables: ClassVar[MetaData | None] = None
    """Created in the consumer's database before it starts."""
    schema_version: ClassVar[int] = 1
    """Increase it when older code cannot work with the changed ``tables``."""
    handlers: ClassVar[Mapping[type[Handled], str]] = {}
    """Name of the method for each model of an event or command, from the annotations."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.queue = cls.__dict__.get("queue") or name_of(cls.__module__)
        cls.bindings = cls.__dict__.get("bindings") or DEFAULT_QUEUES.get(cls.queue, ())
        cls.handlers = _find_handlers(cls)

    @classmethod
    def queues(cls) -> tuple[str, ...]:
        """All queues that it consumes, the one of its events first."""
        return (cls.queue, *cls.command_queues)

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def housekeep(self) -> None:
        """Delete old data. The runtime calls it once an hour."""

    def find_handler(self, event: Handled) -> Handler | None:
        """The bound method that handles ``event``; None if there is none."""
        name = self.handlers.get(type(event))
        return None if name is None else getattr(self, name)


def name_of(module: str) -> str:
    """The name of the consumer in ``module``: ``app-state`` for ``consumers.app_state``.

    A package has its consumer in the module ``consumer``: ``push`` is the name for ``consumers.push.consumer``.
    """
    return module.removesuffix(".consumer").rpartition(".")[2].replace("_", "-")


def _find_handlers(consumer: type[Consumer]) -> Mapping[type[Handled], str]:
    found: dict[type[Handled], str] = {}
    for name, method in inspect.getmembers(consumer, inspect.isfunction):
        if name.startswith("_") or hasattr(Consumer, name):
            continue
        for model in _handled_models(method):
            if model in found:
                raise TypeError(f"{consumer.__name__}.{name} and .{found[model]} both handle {model.__name__}")
            found[model] = name
    if not found:
        raise TypeError(
            f"{consumer.__name__} handles nothing: annotate a public method's first parameter with an event"
        )
    return found


def _handled_models(method: Handler) -> tuple[type[Handled], ...]:
    """The models in the annotation of the first parameter; empty if ``method`` is no handler."""
    _, *parameters = inspect.signature(method).parameters
    if len(parameters) != HANDLER_PARAMETERS:
        return ()
    hints = get_type_hints(method)
    models = tuple(_find_models(hints.get(parameters[0])))
    wanted = Context if inspect.iscoroutinefunction(method) else Connection
    if models and hints.get(parameters[1]) is not wanted:
        raise TypeError(f"{method.__qualname__}: annotate {parameters[1]} with {wanted.__name__}")
    return models


def _find_models(annotation: object) -> tuple[type[Handled], ...]:
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        return tuple(model for part in get_args(annotation) for model in _find_models(part))
    if hasattr(annotation, "__metadata__"):
        return _find_models(get_args(annotation)[0])
    return (annotation,) if isinstance(annotation, type) and issubclass(annotation, Handled) else ()
