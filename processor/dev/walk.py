"""One sign-in and one payment, from the request to what consumers made of it."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from consumers.push.registry import devices
from consumers.push.registry.devices import Device
from consumers.push.settings import PushSettings
from consumers.runtime.composition import open_database
from consumers.runtime.discovery import find
from processor.core.payload.ids import event_id
from processor.dev.effects import APP_STATE, PUSH
from processor.dev.story import Story
from processor.sandbox.payload import Payload
from processor.sandbox.phone import ACCOUNT
from processor.sandbox.server import Sandbox

APP: Final = "demo"
_SHOP: Final = "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe"
_PHONE: Final = "demo-phone-registration-token-000042"
_PATIENCE_SECONDS: Final = 30.0

HINTS: Final = """
Everything keeps running. See it in a browser: an app and a phone side by side, events as they come, and faults.

   {url}/sandbox

And in another terminal, in this folder:

   the same webhook twice, one event    .venv/bin/processor trigger duplicate --url {url}/webhooks/{app}
   a forged one: 401, and why           .venv/bin/processor trigger badsig --url {url}/webhooks/{app}
   everything else                      .venv/bin/processor --help

The README goes on from here: your own consumer, RabbitMQ, and a real Xumm application.
Ctrl-C stops it all."""


class Walk:
    """Walks through the house, and tells the story."""

    def __init__(self, url: str, sandbox: Sandbox, folder: Path, story: Story) -> None:
        self._url = url
        self._sandbox = sandbox
        self._folder = folder
        self._story = story

    async def through(self) -> None:
        """The whole way."""
        tell = self._story.tell
        self._story.say("Xumm webhook processor: service, consumers and a sandbox for Xumm, all in this process.")
        tell("service", f"takes webhooks at {self._url}/webhooks/{APP}")
        tell("sandbox", f"plays Xumm and the ledger at {self._sandbox.base_url}")
        await self._register(ACCOUNT)
        await self._sign_in()
        await self._hand_over(await self._pay())
        self._story.say(HINTS.format(url=self._url, app=APP))

    async def _sign_in(self) -> None:
        self._story.title("1. A user signs in")
        payload = self._sandbox.create(
            {
                "txjson": {"TransactionType": "SignIn"},
                "custom_meta": {"identifier": "sign-in-1", "instruction": "Sign in to the demo"},
            }
        )
        self._story.tell("app", f"asks Xumm for a SignIn: payload {payload.uuid}")
        self._story.tell("user", "opens it in the wallet, and signs")
        self._sandbox.sign(payload.uuid)
        row = await self._row("select account, user from accounts where payload = ?", payload.uuid)
        self._story.tell("app state", f"signed in: {row['account']}")
        await self._register(row["user"])

    async def _pay(self) -> Payload:
        self._story.title("2. The user pays 10 XRP")
        payload = self._sandbox.create(
            {
                "txjson": {
                    "TransactionType": "Payment",
                    "Destination": _SHOP,
                    "Amount": "10000000",
                    "DestinationTag": 42,
                },
                "custom_meta": {"identifier": "order-42", "instruction": "Your order 42"},
            }
        )
        self._story.tell("app", f"asks Xumm for a Payment: payload {payload.uuid}")
        self._story.tell("user", "opens it in the wallet, and signs; the wallet submits it to the ledger")
        self._sandbox.sign(payload.uuid)
        row = await self._row("select * from payments where payload = ?", payload.uuid)
        self._story.tell(
            "app state",
            f"received {int(row['amount']) / 1_000_000:g} XRP for {row['identifier']} on {row['network']}, "
            f"validated in ledger {row['ledger_index']}",
        )
        return payload

    async def _register(self, owner: str) -> None:
        """The demo's phone wants to be pushed to."""
        device = Device(owner=owner, token=_PHONE, platform="android")
        await self._in_registry(lambda connection: devices.add(connection, device))

    async def _hand_over(self, payload: Payload) -> None:
        """Once the walk's phone heard all: from now on it is the page's device that hears, and no other."""
        last = event_id(payload.application.key, payload.uuid, "xumm.resolve")
        await self._row("select 1 from pushes where event_id = ?", last, database=PUSH)
        await self._in_registry(lambda connection: devices.remove(connection, _PHONE))

    async def _in_registry(self, job: Callable[[Connection], object]) -> None:
        settings = PushSettings(database_url=f"sqlite:///{self._folder}/{{consumer}}.db")
        async with open_database(find("push"), settings) as database:
            await database.write(job)

    async def _row(self, query: str, named: str, *, database: str = APP_STATE) -> Any:
        """The row that a consumer is about to write."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                row = await asyncio.to_thread(self._look, query, named, database)
                if row is not None:
                    return row
                await asyncio.sleep(0.05)

    def _look(self, query: str, named: str, database: str) -> Any:
        with closing(sqlite3.connect(f"file:{self._folder}/{database}.db?mode=ro", uri=True)) as reader:
            reader.row_factory = sqlite3.Row
            try:
                return reader.execute(query, (named,)).fetchone()
            except sqlite3.OperationalError:  # the consumer has not made its tables yet, or is writing
                return None
