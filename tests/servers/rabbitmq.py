"""A private RabbitMQ node for tests: own ports, data, cookie and epmd, so that several can run at once."""

import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from secrets import token_hex
from typing import Any

from tests.servers.child import Child, ServerFailed, ServerNotInstalled, free_port
from tests.servers.server import Server

_BIN = Path("/usr/lib/rabbitmq/bin")  # the wrappers in /usr/sbin insist on Debian's own user
_INSTALL = "RabbitMQ is missing: apt-get install rabbitmq-server postgresql"
_START_SECONDS = 60.0
_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"
_EMULATOR = f"+S 2:2 +SDcpu 1:1 +SDio 4 +A 8 +sbwt none {_LOOPBACK}"
_CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
log.file = false
log.console = true
log.console.level = info
collect_statistics_interval = 1000
raft.wal_max_size_bytes = 33554432
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 32MB
"""


class RabbitMQ(Server):
    """One RabbitMQ node with management."""

    stop_signal = signal.SIGTERM
    stop_seconds = 20.0

    def __init__(self) -> None:
        super().__init__("rabbitmq")
        self._amqp, self._management, self._distribution, self._epmd_port = (free_port() for _ in range(4))
        self._node = f"xumm-{self._amqp}@localhost"
        self._epmd: Child | None = None

    @property
    def amqp_url(self) -> str:
        """The AMQP address of the default virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self._amqp}/"

    @property
    def management_url(self) -> str:
        """The management interface, without a closing slash; user and password are ``guest``."""
        return f"http://127.0.0.1:{self._management}"

    @property
    def amqp_port(self) -> int:
        return self._amqp

    def start(self) -> None:
        """Start the node and return when AMQP and management answer. Raises `ServerError`."""
        self._require_installed()
        self._write_files()
        self._start_epmd()
        self._server = Child(
            [str(_BIN / "rabbitmq-server")],
            log=self.home / "rabbitmq.log",
            directory=self.home,
            env=self._environment(),
        )
        self._server.wait_ready(self._answers, timeout=_START_SECONDS)

    def kill(self, *, at_once: bool = False) -> None:
        """SIGKILL the node. Its data stay.

        RabbitMQ 3.10 writes the names of new quorum queues to disk only twice a second, and a node killed before
        loses them. Unless ``at_once``, that file is written first, so that a test meets the crash that it means.
        """
        if self.running and not at_once:
            self.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")
        super().kill()

    def close(self) -> None:
        """Kill the node and its port mapper, and remove all they wrote."""
        if self._epmd is not None:
            self._epmd.kill()
        super().close()

    def ctl(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` prints; raises `ServerFailed` with its error output when it fails."""
        done = subprocess.run(
            [_BIN / "rabbitmqctl", "--quiet", *arguments],
            env=self._environment(),
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"rabbitmqctl {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Call the management API at ``/api/<path>`` and return the JSON it answers, or None."""
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.management_url}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": "Basic " + b64encode(b"guest:guest").decode(),
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - our own server
            content = response.read()
        return json.loads(content) if content else None

    def vhost(self) -> str:
        """Make a new, empty virtual host and return its AMQP address."""
        name = f"test-{token_hex(4)}"
        self.api("PUT", f"vhosts/{name}", {})
        self.api("PUT", f"permissions/{name}/guest", {"configure": ".*", "write": ".*", "read": ".*"})
        return self.amqp_url + name

    def drop_vhost(self, amqp_url: str) -> None:
        """Remove a virtual host that `vhost` made, with its queues and connections."""
        self.api("DELETE", f"vhosts/{amqp_url.rpartition('/')[2]}")

    def silence(self, amqp_url: str, queue: str) -> None:
        """Let a quorum queue give no answer any more, as one without a leader: what it is sent, it finds later."""
        self._eval_on(amqp_url, queue, "sys:suspend")

    def unsilence(self, amqp_url: str, queue: str) -> None:
        """Let it answer again."""
        self._eval_on(amqp_url, queue, "sys:resume")

    def _eval_on(self, amqp_url: str, queue: str, function: str) -> None:
        member = f"{amqp_url.rpartition('/')[2]}_{queue}"
        self.ctl("eval", f'{function}(binary_to_existing_atom(<<"{member}">>)).')

    def _require_installed(self) -> None:
        if not (_BIN / "rabbitmq-server").exists() or shutil.which("epmd") is None:
            raise ServerNotInstalled(_INSTALL)

    def _write_files(self) -> None:
        config = _CONFIG.format(amqp=self._amqp, management=self._management)
        (self.home / "rabbitmq.conf").write_text(config)
        (self.home / "enabled_plugins").write_text("[rabbitmq_management].\n")
        cookie = self.home / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(token_hex(16))
            cookie.chmod(0o400)

    def _start_epmd(self) -> None:
        """Erlang's port mapper, in the foreground: a daemon, Erlang's habit, would outlive the suite."""
        if self._epmd is not None and self._epmd.running:
            return
        self._epmd = Child(
            [str(shutil.which("epmd")), "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            log=self.home / "epmd.log",
            directory=self.home,
            env=self._environment(),
        )
        self._epmd.wait_ready(lambda: _accepts(self._epmd_port), timeout=10)

    def _environment(self) -> dict[str, str]:
        home = str(self.home)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": home,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "true",  # the start script becomes the server instead of waiting for it
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_LOG_BASE": f"{home}/log",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{home}/generated",
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_CTL_DIST_PORT_MIN": "32000",
            "RABBITMQ_CTL_DIST_PORT_MAX": "32700",
            "RABBITMQ_CTL_ERL_ARGS": f"+S 1:1 +SDio 1 +A 1 +sbwt none {_LOOPBACK}",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _EMULATOR,
        }

    def _answers(self) -> bool:
        return _speaks_amqp(self._amqp) and self._management_answers()

    def _management_answers(self) -> bool:
        try:
            self.api("GET", "whoami")
        except (urllib.error.URLError, OSError):
            return False
        return True


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _speaks_amqp(port: int) -> bool:
    """Whether a server answers AMQP's protocol header with a method frame (Connection.Start)."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False
