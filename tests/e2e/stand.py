"""The sandbox in front of a service: a Xumm that sends webhooks to it and answers its lookups."""

import json
from datetime import timedelta

from processor.sandbox.ledger import ValidationPace
from processor.sandbox.payload import Application
from processor.sandbox.server import Sandbox
from processor.sandbox.simulation import SandboxSettings
from tests.core.payloads import APPLICATION, SECRET
from tests.e2e.service import APP
from tests.servers.child import free_port

SIGN_IN = {"txjson": {"TransactionType": "SignIn"}, "custom_meta": {"identifier": "sign-in-1"}}
PAYMENT = {
    "txjson": {
        "TransactionType": "Payment",
        "Destination": "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe",
        "Amount": "10000000",
        "DestinationTag": 42,
    },
    "custom_meta": {"identifier": "order-42"},
}


class Stand:
    """A sandbox, not started yet, and the settings of the service that it plays Xumm to."""

    def __init__(self, *, secret: str = SECRET) -> None:
        port = free_port()
        owner = Application(key=APPLICATION, secret=secret, webhook_url=f"http://127.0.0.1:{port}/webhooks/{APP}")
        quick = SandboxSettings(ledger=ValidationPace(close_time=timedelta(milliseconds=200)))
        self.sandbox = Sandbox([owner], quick)
        self._port = port
        self._secret = secret

    def settings(self, **changes: str) -> dict[str, str]:
        """Those of the service. The sandbox must run."""
        own = {
            "http_port": str(self._port),
            "xumm_url": self.sandbox.base_url,
            "ledger_urls": json.dumps({"MAINNET": [self.sandbox.ledger_url]}),
            "applications__shop__api_secret": self._secret,
        }
        return own | changes
