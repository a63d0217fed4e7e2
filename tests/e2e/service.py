"""Service and consumer processes, and the stage on which they meet one RabbitMQ."""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.core.payloads import APPLICATION, SECRET
from tests.e2e.program import Done, Program, python, run
from tests.e2e.tap import Tap
from tests.servers.child import free_port
from tests.servers.rabbitmq import RabbitMQ
from tests.support.settings import NOBODY

APP = "shop"
AUDIT = "audit"
"""A queue that gets every event."""


class ServiceProcess(Program):
    """``processor run`` on a port of its own."""

    def __init__(self, folder: Path, settings: dict[str, str], *, prefix: Sequence[str] = ()) -> None:
        super().__init__([*prefix, *python("processor", "run")], folder, settings)
        self.url = f"http://127.0.0.1:{settings['PROCESSOR_HTTP_PORT']}"
        self.webhook_url = f"{self.url}/webhooks/{APP}"

    def ready(self) -> bool:
        """Whether ``/readyz`` says so."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def health(self) -> dict[str, Any]:
        """What ``/readyz`` answers."""
        with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:  # noqa: S310 - our own server
            found: dict[str, Any] = json.load(answer)
        return found


class ConsumerProcess(Program):
    """``consumers run <name>``; ready once it is connected to its queue."""

    def __init__(self, name: str, folder: Path, settings: dict[str, str]) -> None:
        super().__init__(python("consumers", "run", name), folder, settings)

    def ready(self) -> bool:
        """Whether it takes messages."""
        return bool(self.logged("source.connected"))

    async def register(self, owner: str, token: str) -> None:
        """Register a phone, as an operator would. For ``push``, before it starts."""
        command = python("consumers", "devices", "add", owner, "-")
        done = await run(command, self.folder, self.settings, stdin=token)
        assert done.code == 0, done.out + done.err


class Stage:
    """One virtual host with the service's topology, and all processes of a test. Ends them when it is left."""

    def __init__(self, folder: Path, rabbitmq: RabbitMQ, amqp_url: str) -> None:
        self.folder = folder
        self.rabbitmq = rabbitmq
        self.amqp_url = amqp_url
        self.broker_settings = {
            "PROCESSOR_AMQP_URL": amqp_url,
            "PROCESSOR_AMQP_MANAGEMENT_URL": rabbitmq.management_url,
        }
        self._programs: list[Program] = []

    def amqp_url_through(self, port: int) -> str:
        """The broker's address by way of a proxy on ``port``."""
        return self.amqp_url.replace(f":{self.rabbitmq.amqp_port}/", f":{port}/")

    async def apply_topology(self, queues: dict[str, list[str]] | None = None) -> None:
        """Declare exchanges, queues and policies as an operator would: `AUDIT`, and ``queues``."""
        wanted = {AUDIT: ["#"], **(queues or {})}
        done = await self.command("topology", "apply", PROCESSOR_QUEUES=json.dumps(wanted))
        assert done.code == 0, done.out + done.err

    def service(self, *, name: str = "service", prefix: Sequence[str] = (), **settings: str) -> ServiceProcess:
        """A service; ``settings`` are ``http_port="..."`` and the like."""
        folder = self.folder / name
        defaults = {
            "PROCESSOR_APPLICATIONS__SHOP__API_KEY": APPLICATION,
            "PROCESSOR_APPLICATIONS__SHOP__API_SECRET": SECRET,
            "PROCESSOR_DATABASE_URL": f"sqlite:///{folder}/processor.db",
            "PROCESSOR_HTTP_PORT": settings.get("http_port") or str(free_port()),
            "PROCESSOR_XUMM_URL": NOBODY,
            "PROCESSOR_LEDGER_URLS": json.dumps({"MAINNET": [NOBODY]}),
        }
        own = {f"PROCESSOR_{setting.upper()}": value for setting, value in settings.items()}
        process = ServiceProcess(folder, defaults | self.broker_settings | own, prefix=prefix)
        self._programs.append(process)
        return process

    def consumer(self, name: str) -> ConsumerProcess:
        """A consumer with a database of its own, in its folder."""
        folder = self.folder / name
        settings = {"CONSUMERS_AMQP_URL": self.amqp_url, "CONSUMERS_DATABASE_URL": f"sqlite:///{folder}/state.db"}
        process = ConsumerProcess(name, folder, settings)
        self._programs.append(process)
        return process

    def program(self, command: list[str], name: str) -> Program:
        """Any other program."""
        program = Program(command, self.folder / name, {})
        self._programs.append(program)
        return program

    async def command(self, *arguments: str, **settings: str) -> Done:
        """What ``processor ...`` says, with the broker's settings."""
        return await run(python("processor", *arguments), self.folder, self.broker_settings | settings)

    def queues(self) -> list[str]:
        """The names of all queues that can be looked into."""
        found = self.rabbitmq.api("GET", f"queues/{self.amqp_url.rpartition('/')[2]}")
        return [queue["name"] for queue in found if queue["type"] != "stream"]

    def tap(self, queue: str = AUDIT) -> Tap:
        """What arrives in a queue."""
        return Tap(self.amqp_url, queue)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for program in self._programs:
            program.close()
