"""The data of Xumm's API besides payloads: networks, exchange rates, tokens, hooks, accounts, and transactions.

The shapes are those in the declarations of Xumm's kits and in the fixtures of their tests. The values are few, and made
up where a real value would change.

Source: https://github.com/XRPL-Labs/XUMM-SDK/tree/main/src/types/Meta,
https://github.com/XRPL-Labs/XUMM.NET.SDK/tree/main/src/XUMM.NET.SDK.Tests/Data and
https://github.com/XRPL-Labs/xumm-sdk-py/blob/main/tests/fixtures/xumm_api.json
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from xrpl.core.addresscodec import encode_classic_address, is_valid_classic_address

from processor.sandbox.javascript import JsonObject
from processor.sandbox.ledger import Ledger
from processor.sandbox.network import NETWORKS, LedgerNetwork
from processor.sandbox.user_tokens import UserToken
from processor.sandbox.wallet import ALICE, BOB

_XRP_IN_USD: Final = 0.5
_CURRENCIES: Final[Mapping[str, tuple[str, str, float]]] = {
    "USD": ("US Dollar", "$", 1),
    "EUR": ("Euro", "€", 1.25),
    "BTC": ("Bitcoin", "₿", 50_000),
}
"""Code to name, symbol, and value in US dollars."""
_LIVE: Final = frozenset({"MAINNET", "XAHAU"})
_XAHAU: Final = frozenset({"XAHAU", "XAHAUTESTNET"})
_PIXEL: Final = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="
)
_ASSET: Final = "https://xumm.app/assets/icons/currencies/{name}.png"
_KYC: Final = {
    "NONE": "No KYC attempt has been made",
    "IN_PROGRESS": "KYC flow has been started, but did not finish (yet)",
    "REJECTED": "KYC flow has been started and rejected (NO SUCCESSFUL KYC)",
    "SUCCESSFUL": "KYC flow has been started and was SUCCESSFUL :)",
}
HOOK_HASH: Final = "31C3EC186C367DA66DFBD0E576D6170A2C1AB846BFC35FC0B49D202F2A8CDFD8"
HOOKS: Final[JsonObject] = {
    HOOK_HASH: {
        "name": "Savings",
        "description": "Moves a share of each payment to another account",
        "creator": {"name": "XRPL Labs", "mail": "support@xrpl-labs.com", "site": "xrpl-labs.com"},
        "xapp": "hooks.savings",
        "appuuid": "d21fe83d-64b9-4aef-8908-9a4952d8922c",
        "icon": "https://xumm.app/assets/icons/currencies/xrp.png",
        "verifiedAccounts": [],
        "audits": [],
    }
}
_NFTOKEN: Final = re.compile(r"[0-9A-Fa-f]{8}([0-9A-Fa-f]{40})[0-9A-Fa-f]{16}")
_DROPS: Final = Decimal(1_000_000)


def list_rails() -> JsonObject:
    """The networks of Xumm, by name."""
    return {name: _describe_rail(network) for name, network in NETWORKS.items()}


def get_rates(currency: str) -> JsonObject:
    """The value of one unit of ``currency``. Raises ``LookupError``."""
    code = currency.strip().upper()
    name, symbol, in_usd = _CURRENCIES[code]
    about = {"en": name, "code": code, "symbol": symbol, "isoDecimals": 2}
    return {"USD": in_usd, "XRP": in_usd / _XRP_IN_USD, "__meta": {"currency": about}}


def list_curated_assets() -> JsonObject:
    """The issuers and currencies that Xumm shows first: one currency, whose issuer is `BOB`."""
    currency = {
        "id": 178,
        "issuer_id": 185,
        "issuer": BOB.address,
        "currency": "USD",
        "name": "US Dollar",
        "avatar": _ASSET.format(name="fiat-dollar"),
        "shortlist": 1,
    }
    issuer = {
        "id": 185,
        "name": "Sandbox",
        "domain": "sandbox.example",
        "avatar": _ASSET.format(name="sandbox"),
        "shortlist": 1,
        "currencies": {"USD": currency},
    }
    return {"issuers": ["Sandbox"], "currencies": ["USD"], "details": {"Sandbox": issuer}}


def get_hook(digest: str) -> JsonObject:
    """One hook. Raises ``LookupError``."""
    found: JsonObject = HOOKS[digest.strip().upper()]
    return found


def get_account_kyc(account: str) -> JsonObject:
    """Whether Xumm knows the owner of an account: never here. Raises ``LookupError`` for an invalid account."""
    _check_account(account)
    return {"account": account, "kycApproved": False}


def get_user_kyc(token: UserToken | None) -> JsonObject:
    """The progress of a user's KYC. Raises ``LookupError`` for an unknown token."""
    if token is None:
        raise LookupError("no such user")
    return {"kycStatus": "NONE", "possibleStatuses": dict(_KYC)}


def get_account_meta(account: str) -> JsonObject:
    """The public data of an account; only `ALICE` has a name. Raises ``LookupError`` for an invalid account.

    Source: https://github.com/xyield/xumm-go-client/blob/main/xumm/meta/accountmeta_test.go
    """
    _check_account(account)
    name = "Alice" if account == ALICE.address else None
    return {
        "account": account,
        "kycApproved": False,
        "xummPro": False,
        "blocked": False,
        "force_dtag": False,
        "avatar": f"https://xumm.app/avatar/{account}.png",
        "xummProfile": {
            "accountAlias": name,
            "ownerAlias": name,
            "slug": None,
            "profileUrl": None,
            "accountSlug": None,
            "payString": None,
        },
        "thirdPartyProfiles": [{"accountAlias": name, "source": "xumm.app"}] if name else [],
        "globalid": {"linked": None, "profileUrl": None, "sufficientTrust": False},
    }


def get_nftoken(token_id: str) -> JsonObject:
    """The data in an NFToken's id. Raises ``LookupError`` for an invalid id.

    Source: https://xrpl.org/docs/references/protocol/data-types/nftoken#nftokenid
    """
    found = _NFTOKEN.fullmatch(token_id)
    if found is None:
        raise LookupError("no id of an NFToken")
    return {"issuer": encode_classic_address(bytes.fromhex(found[1])), "token": token_id.upper()}


def get_transaction(txid: str, ledger: Ledger) -> JsonObject:
    """A transaction, and how it changed balances. Raises ``LookupError``."""
    found = ledger.answer("tx", {"transaction": txid})
    if found["status"] != "success":
        raise LookupError("no such transaction")
    return {
        "txid": found["hash"],
        "balanceChanges": _compute_changes(found),
        "node": ledger.network.node,
        "transaction": {name: value for name, value in found.items() if name != "status"},
    }


def _describe_rail(network: LedgerNetwork) -> JsonObject:
    asset = "XAH" if network.name in _XAHAU else "XRP"
    explorer = "https://xahauexplorer.com" if network.name in _XAHAU else "https://livenet.xrpl.org"
    return {
        "chain_id": network.id,
        "color": "#3C06F3",
        "name": network.name,
        "is_livenet": network.name in _LIVE,
        "native_asset": asset,
        "endpoints": [{"name": network.name, "url": network.node}],
        "explorers": [
            {"name": "Explorer", "url_tx": f"{explorer}/transactions/", "url_account": f"{explorer}/accounts/"}
        ],
        "rpc": network.node.replace("wss:", "https:"),
        "definitions": "default",
        "icons": {"icon_square": _PIXEL, "icon_asset": _PIXEL},
    }


def _check_account(account: str) -> None:
    if not is_valid_classic_address(account):
        raise LookupError("no account")


def _compute_changes(found: JsonObject) -> JsonObject:
    """The changes of balances in the native asset, by fee and delivery."""
    changes: JsonObject = {found["Account"]: [_encode_change(-Decimal(found["Fee"]))]}
    delivered = found.get("meta", {}).get("delivered_amount")
    if isinstance(delivered, str) and delivered.isdecimal():
        changes = {
            found["Account"]: [_encode_change(-Decimal(found["Fee"]) - Decimal(delivered))],
            found["Destination"]: [_encode_change(Decimal(delivered))],
        }
    return changes


def _encode_change(drops: Decimal) -> JsonObject:
    return {"counterparty": "", "currency": "XRP", "value": f"{(drops / _DROPS).normalize():f}"}
