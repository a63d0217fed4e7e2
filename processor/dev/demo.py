"""The demo of `processor dev`: one sign-in and one payment, from the request to the effect in the consumers."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from consumers.push.registry import devices
from consumers.push.registry.devices import Device
from consumers.push.settings import PushSettings
from consumers.runtime.composition import open_database
from consumers.runtime.discovery import find
from processor.core.payload.ids import event_id
from processor.dev.narration import Narration
from processor.dev.observers import APP_STATE, PUSH, read_rows
from processor.sandbox.payload import Payload
from processor.sandbox.server import Sandbox
from processor.sandbox.signing import ACCOUNT

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


class Demo:
    """Runs the demo in a development environment, and narrates it."""

    def __init__(self, url: str, sandbox: Sandbox, folder: Path, narration: Narration) -> None:
        self._url = url
        self._sandbox = sandbox
        self._folder = folder
        self._narration = narration

    async def run(self) -> None:
        """Run the whole demo. Raises ``TimeoutError`` if a consumer does not write its row in time."""
        self._narration.print("Xumm webhook processor: service, consumers and a sandbox for Xumm, all in this process.")
        self._narration.print_sentence("service", f"takes webhooks at {self._url}/webhooks/{APP}")
        self._narration.print_sentence("sandbox", f"plays Xumm and the ledger at {self._sandbox.base_url}")
        await self._register(ACCOUNT)
        await self._sign_in()
        await self._unregister(await self._pay())
        self._narration.print(HINTS.format(url=self._url, app=APP))

    async def _sign_in(self) -> None:
        self._narration.print_title("1. A user signs in")
        payload = self._sandbox.create(
            {
                "txjson": {"TransactionType": "SignIn"},
                "custom_meta": {"identifier": "sign-in-1", "instruction": "Sign in to the demo"},
            }
        )
        self._narration.print_sentence("app", f"asks Xumm for a SignIn: payload {payload.uuid}")
        self._narration.print_sentence("user", "opens it in the wallet, and signs")
        self._sandbox.sign(payload.uuid)
        row = await self._wait_for_row("select account, user from accounts where payload = ?", payload.uuid)
        self._narration.print_sentence("app state", f"signed in: {row['account']}")
        await self._register(row["user"])

    async def _pay(self) -> Payload:
        self._narration.print_title("2. The user pays 10 XRP")
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
        self._narration.print_sentence("app", f"asks Xumm for a Payment: payload {payload.uuid}")
        self._narration.print_sentence("user", "opens it in the wallet, and signs; the wallet submits it to the ledger")
        self._sandbox.sign(payload.uuid)
        row = await self._wait_for_row("select * from payments where payload = ?", payload.uuid)
        self._narration.print_sentence(
            "app state",
            f"received {int(row['amount']) / 1_000_000:g} XRP for {row['identifier']} on {row['network']}, "
            f"validated in ledger {row['ledger_index']}",
        )
        return payload

    async def _register(self, owner: str) -> None:
        """Register the demo's phone for pushes."""
        device = Device(owner=owner, token=_PHONE, platform="android")
        await self._write_registry(lambda connection: devices.add(connection, device))

    async def _unregister(self, payload: Payload) -> None:
        """Remove the demo's phone once all was pushed to it: from now on only the page's device gets pushes."""
        last = event_id(payload.application.key, payload.uuid, "xumm.resolve")
        await self._wait_for_row("select 1 from pushes where event_id = ?", last, consumer=PUSH)
        await self._write_registry(lambda connection: devices.remove(connection, _PHONE))

    async def _write_registry(self, job: Callable[[Connection], object]) -> None:
        settings = PushSettings(database_url=f"sqlite:///{self._folder}/{{consumer}}.db")
        async with open_database(find("push"), settings) as database:
            await database.write(job)

    async def _wait_for_row(self, query: str, parameter: str, *, consumer: str = APP_STATE) -> Any:
        """The row that a consumer will have written. Raises ``TimeoutError``."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                row = await asyncio.to_thread(self._find, query, parameter, consumer)
                if row is not None:
                    return row
                await asyncio.sleep(0.05)

    def _find(self, query: str, parameter: str, consumer: str) -> Any:
        try:
            return next(iter(read_rows(self._folder, consumer, query, parameter)), None)
        except sqlite3.OperationalError:  # the consumer has not created its tables yet, or is writing
            return None
