"""The one thread that waits for the disk or the database, so that the event loop need not."""

import threading
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class WorkerThread:
    """Calls functions one after the other. Leaner than an executor: it stands on the way of every group of webhooks."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()

    def start(self, loop: AbstractEventLoop) -> None:
        """Begin to serve ``loop``."""
        self._loop = loop
        # A daemon, since an interpreter that is told to exit is not to wait for a database that does not answer.
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def call(self, function: Callable[[], T]) -> "Future[T]":
        """Resolves with what ``function`` returns or raises."""
        future: Future[T] = self._loop.create_future()
        self._calls.put((function, future))
        return future

    def stop(self) -> None:
        """End after what was asked for."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            try:
                outcome = function()
            except Exception as error:  # noqa: BLE001  raised where the call came from
                self._tell(_fail, future, error)
            else:
                self._tell(_resolve, future, outcome)
            del call, function, future  # a thread that waits holds on to nothing

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(callback, *arguments)


def _resolve(future: "Future[Any]", outcome: Any) -> None:
    if not future.done():
        future.set_result(outcome)


def _fail(future: "Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
