"""What the servers of the suite have in common: a home of their own, and every way to treat them badly."""

import shutil
import signal
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.servers.child import Child


class Server(ABC):
    """A server on 127.0.0.1. A context manager that starts it and wipes it away.

    Data and ports last from `start` to `close`, whatever `kill`, `stop` and `restart` do in between.
    """

    stop_signal: ClassVar[signal.Signals]
    """Asks it to shut down in good order."""
    stop_seconds: ClassVar[float]
    """How long it may take to."""

    def __init__(self, name: str) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self._server: Child | None = None
        self._paused = False

    @property
    def running(self) -> bool:
        """Whether the server runs and is not paused."""
        return self._server is not None and self._server.running and not self._paused

    @abstractmethod
    def start(self) -> None:
        """Start the server and return when it answers. Raises `ServerError`."""

    def kill(self) -> None:
        """SIGKILL the server and all below it. Its data stay."""
        if self._server is not None:
            self._server.kill()
        self._paused = False

    def stop(self) -> None:
        """Shut down in good order. Its data stay."""
        if self._server is not None:
            self.resume()
            self._server.stop(self.stop_signal, timeout=self.stop_seconds)

    def restart(self) -> None:
        """Shut the server down if it runs, and start it again on the same ports and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP, with all below it: connections stay open and nothing answers any more, until `resume`."""
        if self._server is not None:
            self._server.send(signal.SIGSTOP)
            self._paused = True

    def resume(self) -> None:
        """SIGCONT: go on after `pause`."""
        if self._server is not None:
            self._server.send(signal.SIGCONT)
        self._paused = False

    def heal(self) -> None:
        """Make it usable again, whatever a test did to it: resumed, and started if it does not run."""
        self.resume()
        if not self.running:
            self.start()

    def close(self) -> None:
        """Kill the server and remove all it wrote."""
        if self._server is not None:
            self._server.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
