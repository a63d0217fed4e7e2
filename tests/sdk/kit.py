"""Xumm's official kits as child processes, each installed from its lock on first use."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.subjects import ROOT, installing, is_older, node_obstacle

HERE = Path(__file__).parent
JAVASCRIPT = HERE / "javascript"
PYTHON = HERE / "python"
VENV = ROOT / ".pytest_cache" / "d" / "xumm-sdk-py"
"""An environment apart: the kit pins what the service has newer. Outside of ``tests``, whose modules are all ours."""
PATIENCE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """One kit, and an application that is built on it."""

    command: tuple[str, ...]
    identifier: str
    """What the application calls its payload."""
    install: Callable[[], str | None]
    """Make it ready to run, or say in a line why that cannot be."""


async def told_by(kit: Kit, *arguments: str) -> AsyncIterator[tuple[str, Any]]:
    """What the application tells, step by step, until it ends. Raises `AssertionError` if it fails."""
    process = await asyncio.create_subprocess_exec(
        *kit.command, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=2**20
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async for line in process.stdout:
            if line.startswith(b'{"told":'):  # the kits chat a little themselves
                step: Mapping[str, Any] = json.loads(line)
                yield step["told"], step["value"]
        assert 0 == await process.wait(), (await process.stderr.read()).decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def walk(kit: Kit, *arguments: str, on_step: Callable[[str, Any], None]) -> list[tuple[str, Any]]:
    """All that the application tells; ``on_step`` sees each step as it comes."""
    steps = []
    async with asyncio.timeout(PATIENCE), aclosing(told_by(kit, *arguments)) as telling:
        async for name, value in telling:
            steps.append((name, value))
            on_step(name, value)
    return steps


def install_javascript() -> str | None:
    """Install the kits for JavaScript, or say in a line why that cannot be."""
    return node_obstacle(JAVASCRIPT)


def _install_python() -> str | None:
    with installing(PYTHON):
        ready = VENV / ".installed"
        return _install_into_venv(ready) if is_older(ready, PYTHON / "requirements.lock") else None


def _install_into_venv(ready: Path) -> str | None:
    steps = (
        (sys.executable, "-m", "venv", "--clear", str(VENV)),
        (str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--require-hashes", "-r", str(PYTHON / "requirements.lock")),
    )  # fmt: skip
    for command in steps:
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return f"{' '.join(command[1:3])} failed for {PYTHON.relative_to(HERE.parent)}"
    ready.touch()
    return None


KITS = {
    "xumm-sdk": Kit(
        command=("node", str(JAVASCRIPT / "application.js")), identifier="order-javascript", install=install_javascript
    ),
    "xumm": Kit(
        command=("node", str(JAVASCRIPT / "universal.js")), identifier="order-universal", install=install_javascript
    ),
    "xumm-sdk-py": Kit(
        command=(str(VENV / "bin" / "python"), str(PYTHON / "application.py")),
        identifier="order-python",
        install=_install_python,
    ),
}
"""Xumm's kits for backends, by the names that the package indexes have for them."""
