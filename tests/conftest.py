"""Real servers for the tests that name them; they start with the first such test and end with the session."""

from collections.abc import Iterator
from typing import TypeVar

import pytest
from hypothesis import settings

from tests.servers.child import ServerNotInstalled
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ

Server = TypeVar("Server", RabbitMQ, Postgres, PgBouncer)

settings.register_profile("suite", deadline=None)  # how long an example takes depends on what else runs here
settings.load_profile("suite")


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """The session's RabbitMQ. Tests that break it need not mend it: `amqp_url` does."""
    yield from _started(RabbitMQ())


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's PostgreSQL. Tests that break it need not mend it: `postgres_url` does."""
    yield from _started(Postgres())


@pytest.fixture
def amqp_url(rabbitmq: RabbitMQ) -> Iterator[str]:
    """A virtual host of one's own on the session's RabbitMQ."""
    rabbitmq.heal()
    url = rabbitmq.vhost()
    yield url
    rabbitmq.heal()
    rabbitmq.drop_vhost(url)


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A database of one's own on the session's PostgreSQL, as an SQLAlchemy URL."""
    postgres.heal()
    url = postgres.database()
    yield url
    postgres.heal()
    postgres.drop_database(url)


@pytest.fixture(scope="session")
def pgbouncer(postgres: Postgres) -> Iterator[PgBouncer]:
    """A pooler in front of the session's PostgreSQL, which pools transactions."""
    yield from _started(PgBouncer(postgres))


@pytest.fixture
def pooled_url(pgbouncer: PgBouncer, postgres_url: str) -> str:
    """A database of one's own, by way of the pooler."""
    return pgbouncer.url_of(postgres_url)


def _started(server: Server) -> Iterator[Server]:
    try:
        with server:
            yield server
    except ServerNotInstalled as missing:
        raise pytest.fail.Exception(str(missing), pytrace=False) from None
