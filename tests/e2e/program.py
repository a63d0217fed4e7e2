"""The project's programs as an operator starts them: processes of their own, with a folder, a log and settings."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.child import Child

ROOT = Path(__file__).parents[2]
_INHERITED = ("PATH", "HOME", "LANG")
_START_SECONDS = 40.0
_STOP_SECONDS = 40.0


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """What a program of ours sees of this machine, and ``settings``."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **settings}


def python(*arguments: str) -> list[str]:
    """The command line of ``python -m ...``."""
    return [sys.executable, "-m", *arguments]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str


async def run(command: list[str], folder: Path, settings: Mapping[str, str], *, stdin: str = "") -> Done:
    """Run ``command`` in ``folder`` to its end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment(settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(_START_SECONDS):
        out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Done(code=process.returncode, out=out.decode(), err=err.decode())


class Program:
    """One program that runs until it is told to end. It may be started again, in the same folder and log."""

    def __init__(self, command: list[str], folder: Path, settings: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.settings = dict(settings)
        self._command = command
        self._log = folder / "output.log"
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The process of the latest start."""
        assert self._child is not None
        return self._child

    @property
    def output(self) -> str:
        """All that it printed, over all starts."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log lines. What is no JSON is not one."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{") and line.endswith("}")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Its log lines with this name."""
        return [line for line in self.lines if line["event"] == event]

    def ready(self) -> bool:
        """Whether it can be used."""
        return True

    async def start(self) -> None:
        """Start it, and return when it can be used. Raises `ServerFailed`."""
        self._child = Child(self._command, log=self._log, directory=self.folder, env=environment(self.settings))
        await asyncio.to_thread(self._child.wait_ready, self.ready, timeout=_START_SECONDS)

    async def kill(self) -> None:
        """SIGKILL."""
        await asyncio.to_thread(self.child.kill)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        """Ask it to end, and return its exit code: that of SIGKILL if it would not."""
        await asyncio.to_thread(self.child.stop, number, timeout=_STOP_SECONDS)
        return self.child.exit_code

    def close(self) -> None:
        """Leave nothing of it running."""
        if self._child is not None:
            self._child.kill()
