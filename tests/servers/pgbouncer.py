"""A private PgBouncer in front of a PostgreSQL server; by default each transaction gets a session of the server."""

import os
import shutil
import signal
import socket

from tests.servers.child import Child, ServerNotInstalled, free_port
from tests.servers.postgres import Postgres, unprivileged_user
from tests.servers.server import Server

_INSTALL = "PgBouncer is missing: apt-get install pgbouncer"
_START_SECONDS = 10.0
_CONFIG = """\
[databases]
* = host=127.0.0.1 port={server} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 4
server_round_robin = 1
"""


class PgBouncer(Server):
    """One pooler. ``mode`` is ``transaction`` or ``statement``."""

    stop_signal = signal.SIGTERM
    stop_seconds = 5.0

    def __init__(self, postgres: Postgres, *, mode: str = "transaction") -> None:
        super().__init__("pgbouncer")
        self._postgres = postgres
        self._port = free_port()
        self._mode = mode

    def start(self) -> None:
        """Start the pooler and return when it takes connections. Raises `ServerError`."""
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
        if program is None:
            raise ServerNotInstalled(_INSTALL)
        user = unprivileged_user() if os.geteuid() == 0 else None
        if user is not None:
            shutil.chown(self.home, user)
        config = self.home / "pgbouncer.ini"
        config.write_text(_CONFIG.format(server=self._postgres.port, port=self._port, mode=self._mode))
        log = self.home / "pgbouncer.log"
        self._server = Child([program, str(config)], log=log, directory=self.home, env={"PATH": os.defpath}, user=user)
        self._server.wait_ready(self._accepts, timeout=_START_SECONDS)

    def url_of(self, direct: str) -> str:
        """The way through the pooler to the database that ``direct`` leads to."""
        return direct.replace(f":{self._postgres.port}/", f":{self._port}/")

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
