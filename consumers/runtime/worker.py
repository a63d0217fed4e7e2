"""The one thread that waits for the database, so that neither the event loop nor the end of the program has to."""

import threading
from asyncio import Future, get_running_loop
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Call = tuple[Callable[[], Any], "Future[Any]"]


class Worker:
    """Calls functions one after the other. A daemon: a program that ends does not wait for a database that hangs."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def call(self, function: Callable[[], T]) -> "Future[T]":
        """Resolves on the running event loop with what ``function`` returns or raises."""
        future: Future[T] = get_running_loop().create_future()
        self._calls.put((function, future))
        return future

    def stop(self) -> None:
        """End after what was asked for."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            settle = _outcome(function, future)
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                future.get_loop().call_soon_threadsafe(settle)
            del call, function, future, settle


def _outcome(function: Callable[[], Any], future: "Future[Any]") -> Callable[[], None]:
    try:
        result = function()
    except Exception as raised:  # noqa: BLE001  raised where the call came from
        error = raised
        return lambda: None if future.done() else future.set_exception(error)
    return lambda: None if future.done() else future.set_result(result)
