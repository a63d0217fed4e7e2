"""What a benchmark tells its reader: on what it ran, how each subject did, how they compare pair by pair."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any, Final

import json

from tests.bench.figures import Spread, markdown, ratios
from tests.bench.measure import Options, Run
from tests.bench.subjects import Subject

_MICRO: Final = 1e6
_MILLI: Final = 1e3
_MEBI: Final = 2**20


def surroundings(subjects: Sequence[Subject], rabbitmq: str) -> dict[str, str]:
    """Name and version of everything that the figures depend on."""
    found = {
        "CPUs": str(len(os.sched_getaffinity(0))),
        "machine": f"{platform.machine()}, {platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "RabbitMQ": rabbitmq,
    }
    for name in sorted({name for subject in subjects for name in subject.distributions}):
        found[name] = _distribution(name)
    for subject in subjects:
        if subject.node_package is not None:
            found |= _node_versions(subject)
    return found


def _distribution(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _node_versions(subject: Subject) -> dict[str, str]:
    assert subject.node_package is not None
    manifest = json.loads((subject.node_package / "package.json").read_text())
    found = {"Node.js": subprocess.run(["node", "-p", "process.versions.node"], capture_output=True, text=True, check=True).stdout.strip()}
    for name in manifest["dependencies"]:
        installed = subject.node_package / "node_modules" / name / "package.json"
        found[name] = json.loads(installed.read_text())["version"]
    return found
