"""What is compared, as data: one entry for each service, and the one place that knows how each is configured.

To add a subject: one entry in `SUBJECTS`. Values of its ``environment`` may hold the fields of `Placement` in
braces, such as ``{port}``, and ``{exchange}``.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from schemas.topology import EXCHANGE

HERE: Final = Path(__file__).parent
PEERS: Final = HERE / "peers"
ROOT: Final = HERE.parents[1]

QUEUE: Final = "bench"
"""The durable queue in which arrivals are counted."""
BINDING: Final = "*.sign.signed"
NOBODY: Final = "http://127.0.0.1:9"
"""An address that refuses connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where one run of a subject takes place."""

    port: int
    amqp_url: str
    management_url: str
    """RabbitMQ's management API, with user and password."""
    api_key: str
    api_secret: str
    directory: Path
    """The run's own, empty at first and gone afterwards."""
    queue: str = QUEUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A service that takes Xumm's webhooks over HTTP and publishes them to RabbitMQ."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    exchange: str
    prepare: tuple[str, ...] | None = None
    """What is run to its end before it starts, in the same environment."""
    conditions: str
    """What the reader of the table must know about how it was run, its logging first."""
    ready_path: str = "/ready"
    webhook_path: str = "/webhooks/shop"
    modules: tuple[str, ...] = ()
    """Python modules without which it cannot run."""
    distributions: tuple[str, ...] = ()
    """Python distributions whose versions belong beside its figures."""
    node_package: Path | None = None
    """Directory of its ``package.json``, installed from the lock file on first use."""

    def environment_at(self, placement: Placement) -> dict[str, str]:
        """The environment with its placeholders filled in. Raises ``KeyError`` for an unknown one."""
        values = {**asdict(placement), "exchange": self.exchange}
        return {name: value.format_map(values) for name, value in self.environment.items()}

    def obstacle(self) -> str | None:
        """Why it cannot run on this machine, or None. Installs the packages of a Node service if need be."""
        missing = [name for name in self.modules if not _importable(name)]
        if missing:
            return f"no module {', '.join(missing)}"
        return None if self.node_package is None else node_obstacle(self.node_package)


_PEER_ENVIRONMENT: Final = {
    "PORT": "{port}",
    "AMQP_URL": "{amqp_url}",
    "AMQP_EXCHANGE": "{exchange}",
    "AMQP_QUEUE": "{queue}",
    "XUMM_API_SECRET": "{api_secret}",
}

SUBJECTS: Final = (
    Subject(
        name="processor",
        command=(sys.executable, "-m", "processor", "run"),
        environment={
            "PROCESSOR_AMQP_URL": "{amqp_url}",
            "PROCESSOR_HTTP_PORT": "{port}",
            "PROCESSOR_DATABASE_URL": "sqlite:///{directory}/processor.db",
            "PROCESSOR_APPLICATIONS__SHOP__API_KEY": "{api_key}",
            "PROCESSOR_APPLICATIONS__SHOP__API_SECRET": "{api_secret}",
            "PROCESSOR_AMQP_MANAGEMENT_URL": "{management_url}",
            "PROCESSOR_QUEUES__IDLE": "nobody.resolve.none",
            "PROCESSOR_TOPOLOGY__LOG": "false",
            "PROCESSOR_XUMM_URL": NOBODY,
            "PROCESSOR_LEDGER_URLS__MAINNET": NOBODY,
            "PROCESSOR_LOG_LEVEL": "warning",
            "PROCESSOR_LOG_FORMAT": "json",
        },
        exchange=EXCHANGE,
        ready_path="/readyz",
        prepare=(sys.executable, "-m", "processor", "topology", "apply"),
        conditions="logs nothing per request, as the others; its own consumers' queues are bound to nothing and"
        " the event stream is off, so that each webhook goes to one durable queue here too; Xumm's API is away,"
        " so lookups stay due",
        modules=("processor.__main__",),
        distributions=("aiohttp", "pydantic", "sqlalchemy", "structlog"),
    ),
    Subject(
        name="aiohttp + aio-pika",
        command=(sys.executable, str(PEERS / "aiohttp_aiopika.py")),
        environment=_PEER_ENVIRONMENT,
        exchange="webhooks",
        conditions="logs nothing per request, and runs on asyncio's own loop, as ``web.run_app`` does",
        modules=("aiohttp", "aio_pika"),
        distributions=("aiohttp", "aio-pika", "pydantic"),
    ),
    Subject(
        name="aiohttp + aio-pika, uvloop",
        command=(sys.executable, str(PEERS / "aiohttp_aiopika.py")),
        environment={**_PEER_ENVIRONMENT, "UVLOOP": "1"},
        exchange="webhooks",
        conditions="logs nothing per request",
        modules=("aiohttp", "aio_pika", "uvloop"),
        distributions=("aiohttp", "aio-pika", "pydantic", "uvloop"),
    ),
    Subject(
        name="FastAPI + FastStream",
        command=(sys.executable, str(PEERS / "fastapi_faststream.py")),
        environment=_PEER_ENVIRONMENT,
        exchange="webhooks",
        conditions="logs nothing per request",
        modules=("fastapi", "faststream.rabbit", "uvicorn", "httptools", "uvloop"),
        distributions=("fastapi", "faststream", "uvicorn", "pydantic", "uvloop"),
    ),
    Subject(
        name="Fastify + amqplib",
        command=("node", str(PEERS / "fastify_amqplib" / "server.js")),
        environment={**_PEER_ENVIRONMENT, "NODE_ENV": "production"},
        exchange="webhooks",
        conditions="logs nothing per request",
        node_package=PEERS / "fastify_amqplib",
    ),
)


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def node_obstacle(package: Path) -> str | None:
    """Why the Node package cannot run here, or None. Installs the packages of its lock file, unless it has them."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "no Node.js with npm"
    with installing(package):
        if not is_older(package / "node_modules" / ".package-lock.json", package / "package-lock.json"):
            return None
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)
        return None if done.returncode == 0 else f"npm ci failed in {package.relative_to(ROOT)}"


@contextmanager
def installing(folder: Path) -> Iterator[None]:
    """Hold the lock of ``folder``: one process at a time installs into it, and the others wait."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_older(installed: Path, lock: Path) -> bool:
    """Whether an installation, dated by the file that it ends with, is missing or older than its lock file."""
    return not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime
