"""xApps: pages that Xumm opens for its user, with a one-time token in the address.

The token is valid once, for a minute. It is redeemed for the data of the user, with a token for the API if need be.

Source: https://xumm.readme.io/reference/xappotttoken, https://xumm.readme.io/reference/xapps-jwt-endpoints and
https://github.com/XRPL-Labs/XUMM-SDK/blob/main/src/types/xApp/xAppOttData.ts
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from processor.sandbox.clock import Clock, NewId
from processor.sandbox.identity import Identity, sign_xapp
from processor.sandbox.javascript import JsonObject
from processor.sandbox.network import LedgerNetwork
from processor.sandbox.payload import Application

VALID_FOR: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launch:
    application: Application
    account: str
    expires_at: datetime


class XApps:
    """The one-time tokens of all xApps."""

    def __init__(self, identity: Identity, *, network: LedgerNetwork, clock: Clock, new_id: NewId) -> None:
        self._identity = identity
        self._network = network
        self._clock = clock
        self._new_id = new_id
        self._launches: dict[str, _Launch] = {}

    def launch(self, application: Application, account: str) -> str:
        """Open the xApp of ``application`` for a user; returns the one-time token, its ``xAppToken``."""
        token = self._new_id()
        self._launches[token] = _Launch(application=application, account=account, expires_at=self._clock() + VALID_FOR)
        return token

    def redeem(self, application: Application, token: str) -> JsonObject:
        """The data of the one-time token's user. Raises ``LookupError`` for an expired or redeemed token."""
        launch = self._launches.get(token)
        if launch is None or launch.application.key != application.key or self._clock() >= launch.expires_at:
            raise LookupError("no such one-time token")
        del self._launches[token]
        return self._describe(launch)

    def authorize(self, application: Application, token: str, *, issuer: str) -> JsonObject:
        """Redeem the one-time token for the data of its user and a token for the API. Raises ``LookupError``."""
        user = self.redeem(application, token)
        claims = self._identity.build_claims(application, user["account"], self._network, issuer=issuer)
        signed = sign_xapp(application, {**claims, "ott_uuidv4": token})
        return {"ott": user, "app": {"name": application.name}, "jwt": signed}

    def _describe(self, launch: _Launch) -> JsonObject:
        return {
            "locale": "en",
            "version": "2.3.0",
            "account": launch.account,
            "accountaccess": "FULL",
            "accounttype": "REGULAR",
            "style": "LIGHT",
            "origin": {"type": "QR"},
            "user": str(uuid5(NAMESPACE_URL, launch.account)),
            "user_device": {"currency": "USD", "platform": "android"},
            "account_info": {
                "account": launch.account,
                "name": None,
                "domain": None,
                "blocked": False,
                "source": "",
                "kycApproved": False,
                "proSubscription": False,
            },
            "nodetype": self._network.name,
            "nodewss": self._network.node,
            "networkid": self._network.id,
            "currency": "USD",
            "subscriptions": [],
        }
