"""xApps: pages that Xumm opens for its user, with a one-time token in their address.

The token counts once, for a minute: for what it says of the user, or for that and a token to call the API with.

Source: https://xumm.readme.io/reference/xappotttoken, https://xumm.readme.io/reference/xapps-jwt-endpoints and
https://github.com/XRPL-Labs/XUMM-SDK/blob/main/src/types/xApp/xAppOttData.ts
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from processor.sandbox.clock import Clock, NewId
from processor.sandbox.identity import Identity, xapp_token
from processor.sandbox.network import Network
from processor.sandbox.payload import Application

Json = dict[str, Any]

VALID_FOR: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launch:
    application: Application
    account: str
    expires_at: datetime


class XApps:
    """The one-time tokens of all xApps."""

    def __init__(self, identity: Identity, *, network: Network, clock: Clock, new_id: NewId) -> None:
        self._identity = identity
        self._network = network
        self._clock = clock
        self._new_id = new_id
        self._launches: dict[str, _Launch] = {}

    def launch(self, application: Application, account: str) -> str:
        """The user opens the xApp of ``application``. The one-time token, its ``xAppToken``."""
        token = self._new_id()
        self._launches[token] = _Launch(application=application, account=account, expires_at=self._clock() + VALID_FOR)
        return token

    def fetch(self, application: Application, token: str) -> Json:
        """What a one-time token says of the user, once. Raises ``LookupError``."""
        launch = self._launches.get(token)
        if launch is None or launch.application.key != application.key or self._clock() >= launch.expires_at:
            raise LookupError("no such one-time token")
        del self._launches[token]
        return self._told(launch)

    def authorize(self, application: Application, token: str, *, issuer: str) -> Json:
        """That, and a token to call the API with. Raises ``LookupError``."""
        told = self.fetch(application, token)
        claims = self._identity.claims(application, told["account"], self._network, issuer=issuer)
        signed = xapp_token(application, {**claims, "ott_uuidv4": token})
        return {"ott": told, "app": {"name": application.name}, "jwt": signed}

    def _told(self, launch: _Launch) -> Json:
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
