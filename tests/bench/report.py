"""What a benchmark tells its reader: on what it ran, how each subject did, how they compare pair by pair."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench.figures import Spread, markdown, ratios
from tests.bench.measure import Options, Run
from tests.bench.subjects import Subject

_MICRO: Final = 1e6
_MILLI: Final = 1e3
_PERCENT: Final = 100
_MEBI: Final = 2**20

_HEADINGS: Final = (
    "subject", "webhooks/s", "CPU µs each", "broker µs each", "load µs each", "others %", "p50 ms", "p99 ms", "RSS MiB",
    "lag s", "webhooks", "refused", "lost", "doubled", "transient",
)  # fmt: skip
_COMPARED: Final[tuple[tuple[str, Callable[[Run], float]], ...]] = (
    ("webhooks/s", lambda run: run.rate),
    ("CPU each", lambda run: run.cpu),
    ("broker CPU each", lambda run: run.broker_cpu),
    ("p50", lambda run: run.p50),
    ("p99", lambda run: run.p99),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All runs of a benchmark: for each subject one a round, in the same order."""

    surroundings: dict[str, str]
    options: Options
    subjects: tuple[Subject, ...]
    runs: dict[str, list[Run]]
    skipped: dict[str, str]
    """Subject to the reason why it was left out."""

    @property
    def sound(self) -> bool:
        """Whether something was measured, and every run was answered 200 throughout and lost nothing."""
        return bool(self.runs) and all(run.sound for runs in self.runs.values() for run in runs)

    def text(self) -> str:
        """Markdown that also reads well in a terminal."""
        parts = [
            self._preamble(),
            markdown(_HEADINGS, [_row(name, runs) for name, runs in self.runs.items()]),
        ]
        if len(self.runs) > 1:
            parts.append(self._comparison())
        notes = [f"- {subject.name} {subject.conditions}." for subject in self.subjects]
        notes += [f"- {name} was left out: {reason}." for name, reason in self.skipped.items()]
        return "\n\n".join([*parts, "\n".join(notes)])

    def document(self) -> dict[str, Any]:
        """Everything, every run included, as JSON types; durations in seconds, memory in bytes."""
        return {
            "surroundings": self.surroundings,
            "options": asdict(self.options),
            "skipped": self.skipped,
            "runs": {name: [asdict(run) for run in runs] for name, runs in self.runs.items()},
            "ratios": {
                pair: {name: spread and asdict(spread) for name, spread in spreads.items()}
                for pair, spreads in self.ratios().items()
            },
        }

    def _preamble(self) -> str:
        rounds = max((len(runs) for runs in self.runs.values()), default=0)
        options = self.options
        load = f"{options.connections} connections, {rounds} interleaved rounds of {options.seconds:g} s"
        if options.duplicates:
            load += f", {options.duplicates:.0%} of the webhooks repeated"
        return f"{load}. " + ", ".join(f"{name} {value}" for name, value in self.surroundings.items()) + "."

    def ratios(self) -> dict[str, dict[str, Spread | None]]:
        """``first / peer`` to the spread of each compared figure; None where a peer shows zero."""
        first, *peers = self.runs
        return {f"{first} / {peer}": _compare(self.runs[first], self.runs[peer]) for peer in peers}

    def _comparison(self) -> str:
        headings = ("median ratio of the pairs (extremes)", *(heading for heading, _ in _COMPARED))
        rows = [
            (pair, *("-" if spread is None else spread.text() for spread in spreads.values()))
            for pair, spreads in self.ratios().items()
        ]
        return markdown(headings, rows)


def surroundings(subjects: Sequence[Subject], rabbitmq: str | None) -> dict[str, str]:
    """Name and version of everything that the figures depend on; ``rabbitmq`` is None where no broker took part."""
    found = {"CPUs": str(len(os.sched_getaffinity(0))), "Python": platform.python_version()}
    if rabbitmq is not None:
        found["RabbitMQ"] = rabbitmq
    for name in sorted({name for subject in subjects for name in subject.distributions}):
        found[name] = _distribution(name)
    for package in (subject.node_package for subject in subjects if subject.node_package):
        found |= _node_versions(package)
    return found


def _distribution(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _node_versions(package: Path) -> dict[str, str]:
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    found = {"Node.js": node.stdout.strip().removeprefix("v")}
    for name in json.loads((package / "package.json").read_text())["dependencies"]:
        manifest = package / "node_modules" / name / "package.json"
        found[name] = json.loads(manifest.read_text())["version"]
    return found


def _compare(ours: Sequence[Run], theirs: Sequence[Run]) -> dict[str, Spread | None]:
    return {heading: ratios([read(run) for run in ours], [read(run) for run in theirs]) for heading, read in _COMPARED}


def _row(name: str, runs: Sequence[Run]) -> tuple[str, ...]:
    def middle(read: Callable[[Run], float]) -> float:
        return median(map(read, runs))

    return (
        name,
        f"{middle(lambda run: run.rate):,.0f}",
        f"{middle(lambda run: run.cpu) * _MICRO:,.0f}",
        f"{middle(lambda run: run.broker_cpu) * _MICRO:,.0f}",
        f"{middle(lambda run: run.load_cpu) * _MICRO:,.0f}",
        f"{middle(lambda run: run.others) * _PERCENT:.0f}",
        f"{middle(lambda run: run.p50) * _MILLI:.1f}",
        f"{middle(lambda run: run.p99) * _MILLI:.1f}",
        f"{max(run.memory for run in runs) / _MEBI:,.0f}",
        f"{middle(lambda run: run.lag):.2f}",
        f"{sum(run.accepted for run in runs):,}",
        f"{sum(sum(run.refusals.values()) for run in runs):,}",
        f"{sum(run.tally.lost for run in runs):,}",
        f"{sum(run.tally.duplicated for run in runs):,}",
        f"{sum(run.tally.transient for run in runs):,}",
    )
