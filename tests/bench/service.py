"""A service under test: started as a child process, awaited until it is ready, stopped at the end."""

import asyncio
import os
import socket
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.05
_INHERITED: Final = ("PATH", "HOME", "LANG", "TMPDIR")


class ServiceError(Exception):
    """The service did not start, or died."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    return {**{name: os.environ[name] for name in _INHERITED if name in os.environ}, **own}


async def complete(command: Sequence[str], environment: Mapping[str, str], *, cwd: Path) -> None:
    """Run ``command`` to its end, in the environment that `Service` would give it. Raises `ServiceError`."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=_environment(environment),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        said = output.decode(errors="replace").strip()[-1500:]
        raise ServiceError(f"{' '.join(command)} ended with {process.returncode}: {said}")


class Service:
    """A child process that answers 200 at ``ready_url`` once entered. What it prints goes to ``log``.

    It inherits where programs and files are, and nothing else of this process's environment.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, cwd: Path, log: Path, ready_url: str
    ) -> None:
        self._command = command
        self._environment = _environment(environment)
        self._cwd = cwd
        self._log = log
        self._ready_url = ready_url
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Its process id. Raises `ServiceError` with its last words if it has died."""
        if self._process is None or self._process.returncode is not None:
            raise ServiceError(f"not running: {self._story()}")
        return self._process.pid

    async def __aenter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environment, cwd=self._cwd, stdout=log, stderr=log
            )
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._answers()
        except BaseException as error:
            await self._stop()
            if isinstance(error, TimeoutError):
                raise ServiceError(f"not ready after {START_SECONDS:.0f} s: {self._story()}") from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _answers(self) -> None:
        async with aiohttp.ClientSession() as session:
            while self.pid:
                try:
                    async with session.get(self._ready_url) as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(_POLL_SECONDS)

    async def _stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _story(self) -> str:
        """The last lines that the service printed."""
        return self._log.read_text(errors="replace")[-1500:].strip() or "it printed nothing"
