"""An application on Xumm's kit for Python, in an environment of its own.

It walks through what applications do, and tells each step on a line of standard output in JSON. Arguments: where Xumm
is, API key, API secret. The kit has Xumm's address built in, so it is put in the place of that from outside.
"""

import asyncio
import json
import os
import sys
import threading
from typing import Any

import xumm
from xumm.resource import payload as payloads
from xumm.ws_client import WSClient

PAYMENT = {
    "txjson": {
        "TransactionType": "Payment",
        "Destination": "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe",
        "Amount": "1000000",
    },
    "options": {"expire": 5, "return_url": {"app": "shop://done?id={id}"}},
    "custom_meta": {"identifier": "order-python", "blob": {"a": [1]}, "instruction": "Hey ❤️"},
}


def tell(told: str, value: Any) -> None:
    """One step."""
    sys.stdout.write(json.dumps({"told": told, "value": value}) + "\n")
    sys.stdout.flush()


def move_to(base: str) -> None:
    """Let the kit find Xumm at ``base``."""
    xumm.client.api_base = f"{base}/api/v1/"

    def client(*, server: str, **options: Any) -> WSClient:
        return WSClient(server=server.replace("wss://xumm.app", base.replace("http", "ws", 1)), **options)

    payloads.WSClient = client


def walk(key: str, secret: str) -> None:
    """Everything in turn."""
    sdk = xumm.XummSdk(key, secret)
    tell("pong", sdk.ping().application.uuidv4)
    created = sdk.payload.create(PAYMENT)
    tell("created", created.to_dict())
    tell("fetched", sdk.payload.get(created.uuid).to_dict())

    resolved = threading.Event()

    def hear(event: dict[str, Any]) -> None:
        tell("message", event["data"])
        if "signed" in event["data"]:
            resolved.set()

    asyncio.run(sdk.payload.subscribe(created.uuid, hear))
    resolved.wait()
    sdk.payload.unsubscribe()
    tell("signed", sdk.payload.get(created.uuid).to_dict())

    withdrawn = sdk.payload.create({"TransactionType": "SignIn"})
    tell("cancelled", sdk.payload.cancel(withdrawn.uuid).to_dict())
    for name, call in (
        ("unknown", lambda: sdk.payload.get(key)),
        ("bad", lambda: sdk.payload.create({"TransactionType": "Nonsense"})),
    ):
        try:
            call()
        except xumm.error.RPCError as refused:
            tell(name, type(refused).__name__)


if __name__ == "__main__":
    move_to(sys.argv[1])
    walk(*sys.argv[2:])
    sys.stdout.flush()
    os._exit(0)  # the kit leaves timers behind that would keep the process for half a minute
