"""A private PostgreSQL server for tests, with its data in a temporary directory."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from secrets import token_hex

import psycopg
from psycopg import sql

from tests.servers.child import Child, ServerFailed, ServerNotInstalled, free_port
from tests.servers.server import Server

_INSTALL = "PostgreSQL is missing: apt-get install rabbitmq-server postgresql"
_INSTALLED = Path("/usr/lib/postgresql")
_START_SECONDS = 30.0


class Postgres(Server):
    """One PostgreSQL server.

    Without ``durable`` it never waits for the disk: right for a killed process, wrong for a power cut.
    """

    stop_signal = signal.SIGINT  # ends open sessions
    stop_seconds = 15.0

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__("postgres")
        self._port = free_port()
        self._durable = durable
        self._user = unprivileged_user() if os.geteuid() == 0 else None

    @property
    def port(self) -> int:
        return self._port

    def start(self) -> None:
        """Start the server and return when it takes queries. Raises `ServerError`."""
        programs = _programs()
        if not self._data.exists():
            self._initialize(programs)
        self._server = Child(
            [str(programs / "postgres"), "-D", str(self._data), *self._settings()],
            log=self.home / "postgres.log",
            directory=self.home,
            env=self._environment(),
            user=self._user,
        )
        self._server.wait_ready(self._answers, timeout=_START_SECONDS)

    def database(self) -> str:
        """Make a new, empty database and return its SQLAlchemy URL."""
        name = f"test_{token_hex(4)}"
        self._administer(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/{name}"

    def drop_database(self, url: str) -> None:
        """Remove a database that `database` made, ending the sessions on it."""
        name = sql.Identifier(url.rpartition("/")[2])
        self._administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    @property
    def _data(self) -> Path:
        return self.home / "data"

    def _initialize(self, programs: Path) -> None:
        if self._user is not None:
            shutil.chown(self.home, self._user)
        done = subprocess.run(
            [
                programs / "initdb",
                "-D",
                self._data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
            ],
            env=self._environment(),
            cwd=self.home,
            user=self._user,
            extra_groups=None if self._user is None else [],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"initdb failed: {done.stderr or done.stdout}")

    def _settings(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": str(self.home),
            "fsync": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
            "shared_buffers": "32MB",
            "max_connections": "100",
            "max_wal_size": "256MB",
            "autovacuum": "off",
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.home),
            "LC_ALL": "C",
            "TZ": "UTC",
        }

    def _answers(self) -> bool:
        try:
            self._administer(sql.SQL("SELECT 1"))
        except psycopg.OperationalError:
            return False
        return True

    def _administer(self, statement: sql.SQL | sql.Composed) -> None:
        address = f"host=127.0.0.1 port={self._port} user=postgres dbname=postgres connect_timeout=5"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement)


def be_read_only(url: str, how: str, *, end_sessions: bool = True) -> None:
    """Let new sessions on a database write nothing (``on``), or write (``off``); and end those that there are."""
    name = url.rpartition("/")[2]
    own = "-c default_transaction_read_only=off"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True, options=own) as database:
        change = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        database.execute(change.format(sql.Identifier(name), sql.Literal(how)))
        if end_sessions:
            ended = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            )
            database.execute(ended, [name])


def _programs() -> Path:
    """The directory with the newest installed server's programs."""
    versions = [path for path in _INSTALLED.glob("*/bin") if (path / "postgres").exists()]
    if not versions:
        raise ServerNotInstalled(_INSTALL)
    return max(versions, key=lambda path: float(path.parent.name))


def unprivileged_user() -> str:
    """Whom a server runs as that refuses to run as root."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
