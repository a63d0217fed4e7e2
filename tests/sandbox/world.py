"""A sandbox with two applications, a clock of its own and a client that speaks to it over HTTP."""

from typing import Any

import aiohttp

from processor.sandbox import wallet
from processor.sandbox.payload import Application, Payload, PayloadSignature
from processor.sandbox.server import Sandbox
from tests.sandbox.clock import FakeClock

SHOP = Application(
    key="11111111-2222-4333-8444-555555555555", secret="12345678-90ab-4cde-8f01-234567890abc", name="Shop"
)
OTHER = Application(
    key="21111111-2222-4333-8444-555555555555", secret="22345678-90ab-4cde-8f01-234567890abc", name="Other"
)
ALICE = wallet.ALICE.address
BOB = wallet.BOB.address
SIGN_IN: dict[str, Any] = {"txjson": {"TransactionType": "SignIn"}}
PAYMENT: dict[str, Any] = {
    "txjson": {"TransactionType": "Payment", "Destination": BOB, "DestinationTag": 7, "Amount": "1000000"},
    "custom_meta": {"identifier": "order-1", "blob": {"a": [1]}, "instruction": "Hey ❤️"},
}


class World:
    """What a test of the sandbox holds in its hands."""

    def __init__(self, sandbox: Sandbox, clock: FakeClock, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.session = session

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        application: Application = SHOP,
        secret: str | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON of one API call."""
        headers = {"x-api-key": application.key, "x-api-secret": secret or application.secret}
        url = f"{self.sandbox.api_url}/{path}"
        async with self.session.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def fetch(self, uuid: str) -> Any:
        """The payload as the API tells it."""
        status, payload = await self.call("GET", f"payload/{uuid}")
        assert 200 == status
        return payload

    async def tx(self, txid: str, **params: object) -> Any:
        """What the ledger says of a transaction."""
        call = {"method": "tx", "params": [{"transaction": txid, **params}]}
        async with self.session.post(self.sandbox.ledger_url, json=call) as response:
            assert 200 == response.status
            return (await response.json())["result"]

    async def settled_tx(self, txid: str, **params: object) -> Any:
        """What the ledger says of a transaction in the end."""
        self.clock.advance(seconds=4)
        for _ in range(2):
            await self.tx(txid)
        return await self.tx(txid, **params)


def signature_of(payload: Payload) -> PayloadSignature:
    """What signing left behind."""
    assert payload.signature is not None
    return payload.signature
