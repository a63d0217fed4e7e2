"""Devices registered by command: whose each is in the end, whatever came when, and how many there can be."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import given
from hypothesis import settings as tuned
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, func, select, text
from structlog.testing import capture_logs

from consumers.push.consumer import Push
from consumers.push.registry import commands, devices, pushes
from consumers.push.registry.devices import Device
from consumers.push.registry.tables import METADATA
from consumers.push.registry.tables import claims as claims_table
from consumers.push.settings import PushSettings
from consumers.runtime.composition import open_consumer
from consumers.runtime.consumer import Context
from consumers.runtime.database import ConsumerDatabase
from consumers.runtime.discovery import find
from schemas.commands import DeviceRegistered, DeviceRemoved
from schemas.devices import digest_of_token
from schemas.events import CloudEvent
from tests.consumers.events import ACCOUNT, APPLICATION, SHOP, USER, event, payload_uuid
from tests.consumers.push.channels.push_service import Browser

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = "phone-registration-token-000001"
OTHER_APPLICATION = "21111111-2222-4333-8444-555555555555"
OWNERS = (ACCOUNT, SHOP, "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe")

Step = tuple[str, str, int]
"""What is asked, for whom, and at which second; ``register as`` names the user too."""


def phone(owner: str, token: str = TOKEN, application: str | None = APPLICATION, user: str | None = None) -> Device:
    return Device(owner=owner, token=token, platform="android", application=application, user=user)


def reference_of(account: str) -> str:
    """The user who holds an account."""
    return str(uuid5(NAMESPACE_URL, account))


def apply(connection: Connection, step: Step) -> None:
    verb, owner, second = step
    at = NOON + timedelta(seconds=second)
    if verb == "register":
        commands.register(connection, phone(owner), at=at)
    elif verb == "register as":
        commands.register(connection, phone(owner, user=reference_of(owner)), at=at)
    else:
        commands.remove(connection, owner, digest_of_token(TOKEN), application=APPLICATION, at=at)


def owners_of(connection: Connection) -> list[str]:
    return [device.owner for device in devices.list_devices(connection)]


def known_as(connection: Connection) -> list[tuple[str, str | None]]:
    """Owner and user of each registration, whatever remains of users included."""
    left = connection.execute(text('SELECT owner, "user" FROM device_users')).all()
    found = [(device.owner, device.user) for device in devices.list_devices(connection)]
    return sorted({*found, *map(tuple, left)}, key=repr)


def expected_owner(steps: list[Step]) -> list[tuple[str, str | None]]:
    """As if every step had come when it was asked for."""
    owner: list[tuple[str, str | None]] = []
    for verb, account, _ in sorted(steps, key=lambda step: step[2]):
        if verb != "remove":
            owner = [(account, reference_of(account) if verb == "register as" else None)]
        elif owner and owner[0][0] == account:
            owner = []
    return owner


@tuned(deadline=None)
@given(st.data())
def test_order_of_arrival_decides_nothing(data: st.DataObject) -> None:
    """Whatever order commands come in, and however often, the device is whose it would be had they come in time."""
    verbs, accounts = st.sampled_from(["register", "register as", "remove"]), st.sampled_from(OWNERS)
    asked = data.draw(st.lists(st.tuples(verbs, accounts), max_size=8))
    steps = [(verb, owner, second) for second, (verb, owner) in enumerate(asked)]
    arriving = data.draw(
        st.permutations([*steps, *data.draw(st.lists(st.sampled_from(steps or [("remove", SHOP, 0)])))])
    )
    engine = create_engine("sqlite://")
    METADATA.create_all(engine)
    with engine.begin() as connection:
        for step in arriving:
            apply(connection, step)
        found = known_as(connection)
    engine.dispose()

    assert found == (expected_owner(steps) if steps else [])


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[ConsumerDatabase]:
    async with ConsumerDatabase(database_url.replace("postgresql://", "postgresql+psycopg://")) as database:
        await database.create(METADATA, name="push", version=Push.schema_version)
        yield database


async def done(database: ConsumerDatabase, *steps: Step) -> list[str]:
    """Whose the device is after these."""

    def job(connection: Connection) -> list[str]:
        for step in steps:
            apply(connection, step)
        return owners_of(connection)

    return await database.write(job)


async def test_phone_that_was_handed_on_is_the_new_owners_alone(database: ConsumerDatabase) -> None:
    """The former owner's user reference, by which a backend had registered it, goes too."""
    await database.write(lambda db: devices.add(db, phone(USER, application=None)))

    assert await done(database, ("register", ACCOUNT, 1)) == [ACCOUNT]
    assert await done(database, ("register", SHOP, 2)) == [SHOP]


async def reached(database: ConsumerDatabase, owner: str, application: str = APPLICATION) -> list[str]:
    """The tokens that an event of ``owner`` goes to."""
    found = await database.read(lambda db: pushes.find_unserved(db, "an event", [owner], application))
    return [device.token for device in found]


async def test_users_reference_leads_to_the_phone_until_it_is_handed_on(database: ConsumerDatabase) -> None:
    """Then the former user's events reach nobody there, by neither name, and the new one's do."""
    names = (ACCOUNT, reference_of(ACCOUNT), SHOP, reference_of(SHOP))
    ways = []
    for owner, second in ((ACCOUNT, 1), (SHOP, 2), (ACCOUNT, 1)):
        await done(database, ("register as", owner, second))
        ways.append([bool(await reached(database, name)) for name in names])

    assert ways == [[True, True, False, False], [False, False, True, True], [False, False, True, True]]


async def test_phone_is_reached_once_by_all_its_names(database: ConsumerDatabase) -> None:
    """And in its application alone."""
    both = (ACCOUNT, reference_of(ACCOUNT))
    await done(database, ("register as", ACCOUNT, 1))
    found = await database.read(lambda db: pushes.find_unserved(db, "an event", both, APPLICATION))

    assert [device.token for device in found] == [TOKEN]
    assert [await reached(database, name, OTHER_APPLICATION) for name in both] == [[], []]


async def test_users_reference_is_that_of_the_last_registration(database: ConsumerDatabase) -> None:
    """A new user token brings a new reference; one who registers without a reference takes the old one away."""
    told = []
    for second, user in enumerate((USER, reference_of(SHOP), None)):
        at = NOON + timedelta(seconds=second)
        await database.write(lambda db, user=user, at=at: commands.register(db, phone(ACCOUNT, user=user), at=at))
        told.append(await database.read(known_as))

    assert told == [[(ACCOUNT, USER)], [(ACCOUNT, reference_of(SHOP))], [(ACCOUNT, None)]]


async def test_users_reference_goes_with_its_registration_alone(database: ConsumerDatabase) -> None:
    """Also where a backend has registered the same device under another name."""
    await done(database, ("register as", ACCOUNT, 1))
    await database.write(lambda db: devices.add(db, phone(SHOP, application=None)))
    await done(database, ("remove", ACCOUNT, 2))

    assert await database.read(known_as) == [(SHOP, None)]
    assert await reached(database, reference_of(ACCOUNT)) == []


async def test_registering_again_leaves_what_a_backend_added_since(database: ConsumerDatabase) -> None:
    """An app registers at every start; that is no handing on."""
    await done(database, ("register", ACCOUNT, 1))
    await database.write(lambda db: devices.add(db, phone(USER, application=None)))

    assert sorted(await done(database, ("register", ACCOUNT, 2))) == sorted([ACCOUNT, USER])


async def test_nobody_removes_anothers_device(database: ConsumerDatabase) -> None:
    """Not even who knows its token."""
    assert await done(database, ("register", ACCOUNT, 1), ("remove", SHOP, 2)) == [ACCOUNT]


async def test_older_command_undoes_nothing(database: ConsumerDatabase) -> None:
    """Neither a registration after a later removal, nor a removal after a later registration."""
    assert await done(database, ("remove", ACCOUNT, 5), ("register", ACCOUNT, 4)) == []
    assert await done(database, ("register", ACCOUNT, 9), ("remove", ACCOUNT, 8)) == [ACCOUNT]


async def test_oldest_device_goes_beyond_the_limit(database: ConsumerDatabase) -> None:
    """Of the same account and application; others' stay."""

    def job(connection: Connection) -> list[int | None]:
        commands.register(connection, phone(ACCOUNT, "elsewhere-000000", OTHER_APPLICATION), at=NOON)
        tokens = [f"phone-token-{number:06}" for number in range(commands.MAX_DEVICES + 2)]
        asked = [(phone(ACCOUNT, token), NOON + timedelta(seconds=at)) for at, token in enumerate(tokens)]
        return [commands.register(connection, device, at=at) for device, at in asked]

    evicted = await database.write(job)
    left = [device.token for device in await database.read(devices.list_devices)]

    assert evicted == [0] * commands.MAX_DEVICES + [1, 1]
    assert (len(left), "elsewhere-000000" in left) == (commands.MAX_DEVICES + 1, True)
    assert {"phone-token-000000", "phone-token-000001"} & set(left) == set()


async def test_claims_are_bounded_and_forgotten(database: ConsumerDatabase) -> None:
    """Who removes what they never had fills no table, and what is old goes unless the device is there."""

    def job(connection: Connection) -> tuple[int, int]:
        commands.register(connection, phone(ACCOUNT), at=NOON)
        for number in range(commands.MAX_CLAIMS + 5):
            at = NOON + timedelta(seconds=number)
            commands.remove(connection, ACCOUNT, f"{number:064x}", application=APPLICATION, at=at)
        kept = connection.scalar(select(func.count()).select_from(claims_table)) or 0
        commands.forget_claims(connection, NOON + timedelta(days=1))
        return kept, connection.scalar(select(func.count()).select_from(claims_table)) or 0

    assert await database.write(job) == (commands.MAX_CLAIMS + 1, 1)
    assert [device.application for device in await database.read(devices.list_devices)] == [APPLICATION]


VERSION_2 = """
CREATE TABLE consumer_schema (name VARCHAR(63) PRIMARY KEY, version INTEGER NOT NULL, created_at BIGINT NOT NULL);
CREATE TABLE devices (owner VARCHAR(36), token_hash VARCHAR(64), token TEXT NOT NULL, platform VARCHAR(16) NOT NULL,
    locale VARCHAR(35), added_at BIGINT NOT NULL, PRIMARY KEY (owner, token_hash));
CREATE TABLE routes (token_hash VARCHAR(64) PRIMARY KEY, channel VARCHAR(16) NOT NULL, p256dh VARCHAR(88),
    auth VARCHAR(24));
CREATE TABLE pushes (event_id VARCHAR(36), token_hash VARCHAR(64), pushed_at BIGINT NOT NULL,
    PRIMARY KEY (event_id, token_hash));
INSERT INTO consumer_schema VALUES ('push', 2, 0);
"""


async def test_database_of_version_2_is_brought_up_to_date(tmp_path: Path) -> None:
    """What stood in it is there, hears of every application, and can be claimed."""
    path = tmp_path / "push.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(VERSION_2)
        row = (ACCOUNT, digest_of_token(TOKEN), TOKEN, "android", None, 0)
        old.execute("INSERT INTO devices VALUES (?, ?, ?, ?, ?, ?)", row)
        old.execute("INSERT INTO routes VALUES (?, 'fcm', NULL, NULL)", (digest_of_token(TOKEN),))
        old.commit()
    async with open_consumer(find("push"), PushSettings(database_url=f"sqlite:///{path}")) as (consumer, _):
        database = consumer.resources.database
        (before,) = await database.read(devices.list_devices)
        owners = await done(database, ("register", SHOP, 1))
        version = await database.read(
            lambda db: db.scalar(text("SELECT version FROM consumer_schema WHERE name = 'push'"))
        )

    assert (before.owner, before.token, before.application) == (ACCOUNT, TOKEN, None)
    assert (owners, version) == ([SHOP], 3)


def command(model: type[Any], at: datetime = NOON, source: str = "/xumm/shop", **data: Any) -> Any:
    common = {"application": APPLICATION, "account": ACCOUNT}
    return model.model_validate(
        {"id": payload_uuid(1), "source": source, "subject": payload_uuid(2), "time": at, "data": common | data}
    )


async def handled(tmp_path: Path, *messages: Any, **options: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """Who is registered after the consumer handled these, and what it logged."""
    settings = PushSettings(database_url=f"sqlite:///{tmp_path}/push.db", **options)
    async with open_consumer(find("push"), settings) as (consumer, _):
        with capture_logs() as lines:
            for message in messages:
                handler: Callable[..., Any] | None = consumer.find_handler(message)
                assert handler is not None
                await handler(message, Context(event_id=message.id, attempts=0, database=consumer.resources.database))
        tokens = [device.token for device in await consumer.resources.database.read(devices.list_devices)]
    return tokens, [dict(line) for line in lines]


def registered(**data: Any) -> DeviceRegistered:
    found: DeviceRegistered = command(
        DeviceRegistered, **{"channel": "fcm", "token": TOKEN, "platform": "android", "locale": "de"} | data
    )
    return found


async def test_registered_device_hears_of_its_account_in_its_application(tmp_path: Path) -> None:
    """Another application's event of the same account is none of its business."""
    elsewhere: CloudEvent = event("resolve.validated", 2, application=OTHER_APPLICATION)
    _, lines = await handled(tmp_path, registered(), event("resolve.validated"), elsewhere)
    pushed = [line for line in lines if line["event"] == "push.logged"]

    assert [line["event_id"] for line in pushed] == [event("resolve.validated").id]
    assert pushed[0]["title"] == "Transaktion bestätigt"


async def test_registered_device_hears_what_its_user_does_and_is_asked(tmp_path: Path) -> None:
    """By the reference that the registration brought, and of requests that were made for its account; once each."""
    heard = [
        event("sign.signed", 1),
        event("sign.opened", 2, user=None, asked_of=ACCOUNT),
        event("sign.expired", 3, user=None, asked_of=ACCOUNT),
        event("resolve.validated", 4, asked_of=ACCOUNT),
    ]
    others = [event("sign.signed", 5, user=reference_of(SHOP)), event("sign.opened", 6, user=None, asked_of=SHOP)]
    _, lines = await handled(tmp_path, registered(user=USER), *heard, *others)

    assert [line["event_id"] for line in lines if line["event"] == "push.logged"] == [each.id for each in heard]


async def test_removed_device_hears_nothing(tmp_path: Path) -> None:
    """And no line shows its token."""
    gone = command(DeviceRemoved, at=NOON + timedelta(seconds=1), device=digest_of_token(TOKEN))
    tokens, lines = await handled(tmp_path, registered(), gone, registered(), event("resolve.validated"))

    assert [line["event"] for line in lines] == ["device.registered", "device.unregistered", "device.outdated"]
    assert (tokens, TOKEN in str(lines)) == ([], False)


async def test_browser_on_no_known_service_is_refused_without_a_dead_letter(tmp_path: Path) -> None:
    """A user can fill no queue; a browser on a known one is registered."""
    known, strange = Browser("one", "web.push.apple.com"), Browser("two", "push.elsewhere.org")
    messages = [
        registered(channel="webpush", platform="web", token=each.endpoint, keys=json.loads(each.subscription)["keys"])
        for each in (strange, known)
    ]
    tokens, lines = await handled(tmp_path, *messages)

    assert tokens == [known.endpoint]
    assert [line["event"] for line in lines] == ["device.refused", "device.registered"]
    assert [each for each in (known, strange) if each.endpoint in str(lines)] == []


UPPER = "AB" * 32


def apple(token: str) -> Device:
    return Device(owner=ACCOUNT, token=token, platform="ios", channel="apns", application=APPLICATION)


async def test_apple_token_is_one_device_whatever_its_case(database_url: str) -> None:
    """It is registered once, pushed to once and removed at once."""
    async with ConsumerDatabase(database_url.replace("postgresql://", "postgresql+psycopg://")) as database:
        await database.create(METADATA, name="push", version=Push.schema_version)
        for second, token in enumerate((UPPER, UPPER.lower())):
            at = NOON + timedelta(seconds=second)
            await database.write(lambda db, token=token, at=at: commands.register(db, apple(token), at=at))
        waiting = await database.read(lambda db: pushes.find_unserved(db, "e", [ACCOUNT], APPLICATION))
        gone = await database.write(lambda db: devices.remove(db, UPPER))

    assert ([device.token for device in waiting], gone) == ([UPPER.lower()], 1)


async def test_registry_of_an_earlier_version_is_renewed(database_url: str) -> None:
    """Where both ways of writing a token had a device each, one is left, with what was noted of it."""
    old = sha256(UPPER.encode()).hexdigest()
    async with ConsumerDatabase(database_url.replace("postgresql://", "postgresql+psycopg://")) as database:
        await database.create(METADATA, name="push", version=Push.schema_version)
        await database.write(lambda db: commands.register(db, apple(UPPER), at=NOON))
        await database.write(lambda db: pushes.note_served(db, "e", apple(UPPER)))
        for table in ("devices", "routes", "claims", "pushes"):
            await database.write(lambda db, table=table: db.execute(text(f"UPDATE {table} SET token_hash = '{old}'")))  # noqa: S608  names of ours
        await database.write(lambda db: devices.add(db, apple(UPPER.lower())))
        renewed = [await database.write(devices.renew_hashes) for _ in range(2)]
        found = await database.read(devices.list_devices)
        waiting = await database.read(lambda db: pushes.find_unserved(db, "e", [ACCOUNT], APPLICATION))

    assert (renewed, [device.application for device in found], waiting) == ([1, 0], [APPLICATION], [])
