from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect, text

from processor.core.errors import StoreError
from processor.store import migrations, outbox
from processor.store.store import Store
from processor.store.tables import metadata


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{tmp_path}/s.db"


def test_migrations_make_the_tables(url: str) -> None:
    """The migrations end in the tables that the code works with."""
    Store.open(url).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        differences = compare_metadata(context, metadata)
        indexes = {index["name"]: _where(index) for index in _indexes(connection)}
    engine.dispose()

    assert differences == []
    assert indexes == {
        "outcomes_at": None,
        "sessions_digest": None,
        "sign_requests_identifier": None,
        "sign_requests_key": None,
        "sign_requests_owner": None,
        "sign_requests_payload": None,
        "sign_requests_state": None,
        "spent_until": None,
        "tasks_due": None,
        "tasks_leased": "leased_until is not null",
        "user_tokens_account": None,
        "watches_leased": None,
    }


def _indexes(connection: Connection) -> list[Any]:
    inspector = inspect(connection)
    return [index for table in inspector.get_table_names() for index in inspector.get_indexes(table)]


def _where(index: Any) -> str | None:
    options = index["dialect_options"]
    condition = options.get("sqlite_where", options.get("postgresql_where"))
    return None if condition is None else str(condition).strip("()").lower()


def test_opening_again(url: str) -> None:
    """A database that is up to date stays as it is."""
    Store.open(url).close()
    with Store.open(url) as store:
        assert store.run(outbox.read, 10) == []


@pytest.mark.parametrize("opened", [Store.open, Store.open_read_only])
def test_newer_version(url: str, opened: Callable[[str], Store]) -> None:
    """A database that a newer version of the service has changed is left alone, and what to do is said."""
    with Store.open(url) as store, store.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreError, match=r"newer version .* revision 9999, .* none after \d+\. Run that version or"):
        opened(url)


@pytest.mark.postgres
def test_instances_that_start_together(postgres_url: str) -> None:
    """Several instances that start on an empty database at once all start."""
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(Store.open, [postgres_url] * 4))
    for store in stores:
        store.close()


def test_what_waited_for_the_broker_still_waits(url: str) -> None:
    """An outbox of the first version is taken over: what was published stays so, forth and back."""
    with Store.open(url) as store, store.database.transaction() as connection:
        migrate(connection, "0001")
        for position, published_at in ((1, NOW_US), (2, None)):
            connection.execute(text(OLD_ROW), {"position": position, "published_at": published_at})
        migrate(connection, "head")
        waiting = [message.position for message in store.run(outbox.read, 10)]
        migrate(connection, "0001")
        back = connection.execute(text("SELECT position FROM outbox WHERE published_at IS NULL")).scalars().all()

    assert [2] == waiting
    assert [2] == back


NOW_US = 1_767_323_045_000_000
OLD_ROW = """INSERT INTO outbox (position, id, app, payload, sequence, type, routing_key, body, at, published_at)
    VALUES (:position, 'i', 'shop', 'p', 1, 'xumm.sign.signed', 'shop.sign.signed', '{}', 1767323045, :published_at)"""


def migrate(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    (command.upgrade if revision == "head" else command.downgrade)(config, revision)
