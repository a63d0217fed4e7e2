"""A server as a child process: its own log, signals to all its descendants, no life after the test suite."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import SystemRandom

# The kernel ends a leashed child with the *thread* that started it, so one lasting thread starts them all.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="servers")
_POLL_SECONDS = 0.02
_LOG_TAIL_LINES = 40
_PORTS = range(20_000, 32_000)  # below the ephemeral range, where outgoing connections could take one
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


class ServerError(Exception):
    """A server could not be had."""


class ServerNotInstalled(ServerError):
    """A server's programs are missing on this machine; the message says what to install."""


class ServerFailed(ServerError):
    """A server ended or did not become ready in time; the message ends with the tail of its log."""


def free_port() -> int:
    """A port nobody listens on. Each worker of a split test run has ports of its own to choose from."""
    while True:
        port = SystemRandom().choice(_PORTS[_WORKER::_WORKERS])
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_until(condition: Callable[[], bool], *, timeout: float, otherwise: Callable[[], Exception]) -> None:
    """Return once ``condition`` holds; after ``timeout`` seconds, raise what ``otherwise`` makes."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise otherwise()
        time.sleep(_POLL_SECONDS)


class Child:
    """A running server process. It dies with the test process, even when that is SIGKILLed."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        directory: Path,
        env: Mapping[str, str],
        user: str | None = None,
    ) -> None:
        self._log = log
        self._name = Path(command[0]).name
        self._process = _SPAWNER.submit(self._spawn, command, directory, env, user).result()

    def _spawn(
        self, command: Sequence[str], directory: Path, env: Mapping[str, str], user: str | None
    ) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*_leash(user), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=dict(env),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait_ready(self, ready: Callable[[], bool], *, timeout: float) -> None:
        """Return once ``ready`` says so; raise `ServerFailed` when it ends or time runs out before."""

        def ready_or_dead() -> bool:
            if not self.running:
                raise self._failure(f"ended with exit code {self._process.returncode}")
            return ready()

        wait_until(
            ready_or_dead,
            timeout=timeout,
            otherwise=lambda: self._failure(f"was not ready in {timeout:.0f} s"),
        )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process and to everything below it, whatever process group it moved to."""
        if self.running:
            for pid in [self.pid, *_descendants(self.pid)]:
                _send(pid, number)

    def kill(self) -> None:
        """End it all at once, as a power cut would, and return when nothing of it is left."""
        family = [self.pid, *_descendants(self.pid)] if self.running else []
        for pid in family:
            _send(pid, signal.SIGKILL)
        self._process.wait()
        wait_until(
            lambda: not any(map(_alive, family)),
            timeout=10,
            otherwise=lambda: self._failure("survives SIGKILL"),
        )

    def stop(self, number: signal.Signals, *, timeout: float) -> None:
        """Ask it to end with ``number``; what is left after ``timeout`` seconds is killed."""
        if self.running:
            _send(self.pid, number)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def _failure(self, what: str) -> ServerFailed:
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
        return ServerFailed(f"{self._name} {what}. The end of {self._log}:\n{tail}")


def _leash(user: str | None) -> list[str]:
    """The prefix of a command that has the kernel end it with its parent, and runs it as ``user``."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ServerNotInstalled("setpriv is missing: apt-get install util-linux")
    identity = ["--reuid", user, "--regid", _group_of(user), "--clear-groups"] if user else []
    return [setpriv, "--pdeathsig", "KILL", *identity, "--"]


def _group_of(user: str) -> str:
    return str(pwd.getpwnam(user).pw_gid)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _descendants(root: int) -> list[int]:
    parents = dict(_processes())
    family = [root]
    for member in family:
        family.extend(pid for pid, parent in parents.items() if parent == member)
    return family[1:]


def _processes() -> Iterator[tuple[int, int]]:
    """Every process of this machine as (pid, parent's pid)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            yield int(entry.name), int(fields[1])


def _alive(pid: int) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def _stat(pid: int) -> list[str]:
    """State, parent and what follows in ``/proc/<pid>/stat``; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
