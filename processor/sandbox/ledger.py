"""A ledger of the sandbox, asked over JSON-RPC as a rippled node is: ``tx``, ``ledger``, ``server_info``.

A transaction is not found at first, then found in an open ledger, then validated. What a node refuses
(``tef``, ``tem``, ``tel``) never gets in, and is never found.

Source: https://xrpl.org/docs/references/http-websocket-apis/public-api-methods/transaction-methods/tx
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from processor.sandbox.clock import Clock
from processor.sandbox.payload import Network

Json = dict[str, Any]

PARTIAL_PAYMENT: Final = 0x00020000
RIPPLE_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
REGULAR_KEY: Final = "r31tMdHuY2hzyxqFkyMof7WQxD9ZVRMrXH"
"""Of every account: the sandbox signs with it."""
_OLDEST: Final = 32570
_FIRST_INDEX: Final = 90_000_000
_LEDGERS_TO_LIVE: Final = 20
_FEE: Final = "12"
_HASH: Final = re.compile(r"[0-9A-Fa-f]{64}")
_json: Final[TypeAdapter[Json]] = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a transaction comes to be validated: both so many asks and the close of its ledger have to pass."""

    asks_not_found: int = 1
    asks_unvalidated: int = 1
    close_time: timedelta = timedelta(seconds=4)


@dataclass(slots=True, kw_only=True)
class _Entry:
    transaction: Json
    result: str
    delivered: Any
    ledger_index: int
    closed_at: datetime
    asks: int = 0


class Ledger:
    """The transactions of one network, in memory."""

    def __init__(self, *, clock: Clock, network: Network | None = None, pace: Pace | None = None) -> None:
        self.network = network or Network()
        self._clock = clock
        self._pace = pace or Pace()
        self._started_at = clock()
        self._entries: dict[str, _Entry] = {}

    @property
    def validated_index(self) -> int:
        """Number of the newest validated ledger."""
        return _FIRST_INDEX + (self._clock() - self._started_at) // self._pace.close_time

    def submit(
        self,
        txid: str,
        transaction: Mapping[str, Any],
        *,
        account: str,
        result: str = "tesSUCCESS",
        delivered: Any = None,
    ) -> None:
        """Take a transaction with the result it is to have.

        ``delivered``, where given, is less than its ``Amount``: a partial payment.
        """
        if not result.startswith(("tes", "tec")):
            return
        index = self.validated_index + 1
        filled: Json = {
            "Fee": _FEE,
            "Flags": 0,
            "LastLedgerSequence": index + _LEDGERS_TO_LIVE,
            "Sequence": len(self._entries) + 1,
            "SigningPubKey": "",
            **transaction,
            "Account": account,
        }
        if delivered is not None:
            filled["Flags"] |= PARTIAL_PAYMENT
        self._entries[txid.upper()] = _Entry(
            transaction=filled,
            result=result,
            delivered=delivered if delivered is not None else filled.get("Amount"),
            ledger_index=index,
            closed_at=self._started_at + (index - _FIRST_INDEX) * self._pace.close_time,
        )

    def answer(self, method: str, params: Json) -> Json:
        """The ``result`` object for one request."""
        match method:
            case "tx":
                return self._tx(params)
            case "ledger":
                return self._ledger()
            case "server_info":
                return self._server_info()
            case "account_info":
                account = {"Account": params.get("account"), "RegularKey": REGULAR_KEY}
                return {"account_data": account, "validated": True, "status": "success"}
            case _:
                return _error("unknownCmd", 32, "Unknown method.", {"command": method, **params})

    def _tx(self, params: Json) -> Json:
        request = {"command": "tx", **params}
        txid = params.get("transaction")
        if not isinstance(txid, str) or not _HASH.fullmatch(txid):
            return _error("invalidParams", 31, "Invalid parameters.", request)
        entry = self._entries.get(txid.upper())
        if entry is not None:
            entry.asks += 1
        if entry is None or entry.asks <= self._pace.asks_not_found:
            return _error("txnNotFound", 29, "Transaction not found.", request) | self._searched(entry, params)
        return self._found(txid.upper(), entry, version=params.get("api_version", 1))

    def _searched(self, entry: _Entry | None, params: Json) -> Json:
        """Whether all ledgers asked for were searched, which is never said of a transaction that is yet to appear."""
        last = params.get("max_ledger")
        if not isinstance(last, int):
            return {}
        return {"searched_all": entry is None and last <= self.validated_index}

    def _found(self, txid: str, entry: _Entry, *, version: int) -> Json:
        validated = self._validated(entry)
        place = self._place(entry) if validated else {}
        if version == 1:
            return {
                **entry.transaction,
                **place,
                **({"date": _ripple_time(entry.closed_at), "inLedger": entry.ledger_index} if validated else {}),
                "hash": txid,
                "validated": validated,
                "status": "success",
            }
        transaction = dict(entry.transaction)
        if transaction.get("TransactionType") == "Payment" and "Amount" in transaction:
            transaction["DeliverMax"] = transaction.pop("Amount")
        if validated:
            transaction |= {"date": _ripple_time(entry.closed_at), "ledger_index": entry.ledger_index}
        return {**place, "tx_json": transaction, "hash": txid, "validated": validated, "status": "success"}

    def _validated(self, entry: _Entry) -> bool:
        asked = entry.asks > self._pace.asks_not_found + self._pace.asks_unvalidated
        return asked and self.validated_index >= entry.ledger_index

    def _place(self, entry: _Entry) -> Json:
        """Where a validated transaction stands, and what it did there."""
        return {
            "close_time_iso": f"{entry.closed_at:%Y-%m-%dT%H:%M:%SZ}",
            "ctid": f"C{entry.ledger_index:07X}0000{self.network.id:04X}",
            "ledger_hash": _ledger_hash(entry.ledger_index),
            "ledger_index": entry.ledger_index,
            "meta": _metadata(entry),
        }

    def _ledger(self) -> Json:
        index = self.validated_index
        header = {"ledger_index": str(index), "ledger_hash": _ledger_hash(index), "closed": True}
        return {
            "ledger": header,
            "ledger_hash": header["ledger_hash"],
            "ledger_index": index,
            "validated": True,
            "status": "success",
        }

    def _server_info(self) -> Json:
        index = self.validated_index
        info = {
            "build_version": "2.3.0",
            "complete_ledgers": f"{_OLDEST}-{index}",
            "network_id": self.network.id,
            "server_state": "full",
            "validated_ledger": {
                "age": 1,
                "base_fee_xrp": 0.00001,
                "hash": _ledger_hash(index),
                "seq": index,
            },
        }
        return {"info": info, "status": "success"}


def ledger_routes(ledger: Ledger) -> list[web.RouteDef]:
    """JSON-RPC on ``POST /ledger``. Errors of a method come with status 200, as from a real node."""

    async def rpc(request: web.Request) -> web.Response:
        try:
            call = _json.validate_json(await request.read())
        except ValidationError:
            return web.Response(status=400, text="Unable to parse request: Json parse error")
        method, params = call.get("method"), call.get("params") or [{}]
        if not isinstance(method, str) or not isinstance(params, list) or not isinstance(params[0], dict):
            return web.Response(status=400, text="params unparsable")
        return web.json_response({"result": ledger.answer(method, params[0])})

    return [web.post("/ledger", rpc)]


def _metadata(entry: _Entry) -> Json:
    meta: Json = {"AffectedNodes": [], "TransactionIndex": 0, "TransactionResult": entry.result}
    delivers = entry.transaction.get("TransactionType") == "Payment" and entry.result == "tesSUCCESS"
    if not delivers:
        return meta
    if entry.transaction["Flags"] & PARTIAL_PAYMENT:
        meta["DeliveredAmount"] = entry.delivered
    return meta | {"delivered_amount": entry.delivered}


def _error(name: str, code: int, message: str, request: Json) -> Json:
    return {
        "error": name,
        "error_code": code,
        "error_message": message,
        "request": request,
        "status": "error",
    }


def _ledger_hash(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest().upper()


def _ripple_time(moment: datetime) -> int:
    return int((moment - RIPPLE_EPOCH).total_seconds())
