"""An application on Xumm's kit for Python, in an environment of its own.

It walks through all that the kit offers, and tells each step on a line of standard output in JSON. Arguments: where
Xumm is, API key, API secret, an account. The kit has Xumm's addresses built in: it is moved from outside.
"""

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
import xumm
from xumm.resource import payload as payloads
from xumm.resource.types import XummPushEventRequest
from xumm.ws_client import WSClient

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # what the kit signs in with insists on TLS otherwise
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
    xumm.resource.oauth2_base = base

    def client(*, server: str, **options: Any) -> WSClient:
        return WSClient(server=server.replace("wss://xumm.app", base.replace("http", "ws", 1)), **options)

    payloads.WSClient = client


def try_(name: str, call: Callable[[], Any]) -> None:
    """Tell what the kit makes of a call that it cannot read the answer to."""
    try:
        tell(name, call())
    except Exception as refused:  # noqa: BLE001  the kit raises what it likes
        tell(name, type(refused).__name__)


def walk(key: str, secret: str, account: str) -> None:
    """Everything in turn."""
    sdk = xumm.XummSdk(key, secret)
    tell("pong", sdk.ping().application.uuidv4)
    created = sdk.payload.create(PAYMENT)
    tell("created", created.to_dict())
    tell("fetched", sdk.payload.get(created.uuid).to_dict())
    watch(sdk, sdk.payload.subscribe, created.uuid)
    signed = sdk.payload.get(created.uuid)
    tell("signed", signed.to_dict())
    tell("transaction", sdk.get_transaction(signed.response.txid).to_dict())

    second = watch(sdk, sdk.payload.create_and_subscribe, {"TransactionType": "SignIn"})
    tell("again", second.created.uuid)
    withdrawn = sdk.payload.create({"TransactionType": "SignIn"})
    tell("cancelled", sdk.payload.cancel(withdrawn.uuid).to_dict())
    try_("unknown", lambda: sdk.payload.get(key))
    try_("bad", lambda: sdk.payload.create({"TransactionType": "Nonsense"}))

    token = signed.application.issued_user_token
    tell("assets", sdk.get_curated_assets().to_dict())
    tell("rates", sdk.get_rates("usd").to_dict())
    tell("kyc", [sdk.get_kyc_status(account), sdk.get_kyc_status(token)])
    try_("tokens", lambda: sdk.verify_user_tokens({"tokens": [token]}))
    request = XummPushEventRequest(user_token=token, body="Hey")
    tell("pushed", [sdk.push.push(request).to_dict(), sdk.push.event(request).to_dict()])
    kept = [
        sdk.storage.set({"a": 1}).stored,
        sdk.storage.get().data,
        sdk.storage.delete().stored,
        sdk.storage.get().data,
    ]
    tell("stored", kept)


def watch(sdk: Any, subscribe: Callable[..., Any], asked: Any) -> Any:
    """Tell each message about a payload until it is signed."""
    resolved = threading.Event()

    def hear(event: dict[str, Any]) -> None:
        tell("message", event["data"])
        if "signed" in event["data"]:
            resolved.set()

    subscription = asyncio.run(subscribe(asked, hear))
    resolved.wait()
    sdk.payload.unsubscribe()
    return subscription


def sign_in(redirect_uri: str) -> None:
    """As a web server does, and as its user's browser does in between."""
    sdk = xumm.XummSdk()
    url, state = sdk.oauth2.auth(redirect_uri)
    back = requests.post(url, json={}, timeout=10).json()["to"]
    came = parse_qs(urlsplit(back).query)
    token = sdk.oauth2.token(redirect_uri, came["code"][0])
    user = sdk.oauth2.userinfo(token.access_token)
    tell("user", {"state": came["state"] == [state], "account": user.account, "network": user.network_type})


if __name__ == "__main__":
    move_to(sys.argv[1])
    walk(*sys.argv[2:5])
    sign_in("http://127.0.0.1/back")
    sys.stdout.flush()
    os._exit(0)  # the kit leaves timers behind that would keep the process for half a minute
