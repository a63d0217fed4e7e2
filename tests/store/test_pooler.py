"""The store behind a pooler that gives each transaction another session of the server."""

from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest

from processor.core.errors import StoreUnavailable
from processor.store import outbox, payloads, tasks
from processor.store.store import Store
from processor.store.writer import Writer
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import Postgres
from tests.store.samples import NOW, payload, refused, rooms, webhook

pytestmark = pytest.mark.postgres
ROUNDS = 12
"""More than a driver lets pass before it prepares a statement."""


async def test_everything_works_behind_it(pooled_url: str) -> None:
    """Migrations, groups, jobs and reading work for two services whose transactions get sessions in turn."""
    async with (
        Writer(partial(Store.open, pooled_url), clock=lambda: NOW) as first,
        Writer(partial(Store.open, pooled_url), clock=lambda: NOW) as second,
    ):
        for number in range(ROUNDS):
            for writer, offset in ((first, 0), (second, 1000)):
                await writer.record(webhook(offset + number))
                writer.log(refused(offset + number))
                await writer.run(tasks.claim, NOW, rooms(1), "x", timedelta(minutes=1))
                (first_waiting,) = await writer.run(outbox.read, 1)
                await writer.run(outbox.mark_published, [first_waiting.position])
        left = await first.run(outbox.count)
        with Store.open_read_only(pooled_url) as reader:
            known = [reader.run(payloads.find, "shop", payload(number)) is not None for number in range(ROUNDS)]

    assert left == 2 * ROUNDS * 2 - 2 * ROUNDS
    assert all(known)


@pytest.mark.parametrize("url", ["postgres_url", "pooled_url"])
def test_time_outs_hold_for_each_transaction(url: str, request: pytest.FixtureRequest) -> None:
    """Statements, locks and idle transactions have their limits, and no session keeps them."""
    settings = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_read_only"]
    address = request.getfixturevalue(url)
    with Store.open(address) as store, store.database.transaction() as connection:
        within = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in settings]
    with psycopg.connect(address.replace("+psycopg", ""), autocommit=True, prepare_threshold=None) as bare:
        after = {row[0] for name in settings for row in bare.execute(f"SHOW {name}")}

    assert within == ["8s", "5s", "20s", "off"]
    assert after == {"0", "off"}


def test_pooler_that_splits_transactions(postgres: Postgres, postgres_url: str) -> None:
    """Behind a pooler that knows no transactions the start says so."""
    with PgBouncer(postgres, mode="statement") as pooler, pytest.raises(StoreUnavailable, match="statement"):
        Store.open(pooler.url_of(postgres_url))


def test_prepared_where_sessions_last(pooled_url: str, postgres_url: str) -> None:
    """Statements are prepared on a session of one's own alone."""
    thresholds: list[Any] = []
    for url in (postgres_url, pooled_url):
        with Store.open(url) as store, store.database.transaction() as connection:
            thresholds.append(connection.connection.dbapi_connection.prepare_threshold)  # type: ignore[union-attr]

    assert thresholds == [5, None]
