"""A ledger of the sandbox, with the JSON-RPC of a rippled node: ``tx``, ``ledger``, ``account_info``, ``server_info``.

A transaction is not found at first, then found in an open ledger, then validated. A transaction that a node refuses
(``tef``, ``tem``, ``tel``) is never found.

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
from xrpl.core.addresscodec import is_valid_classic_address

from processor.sandbox.clock import Clock
from processor.sandbox.faults import FaultTable
from processor.sandbox.javascript import JsonObject
from processor.sandbox.network import LedgerNetwork
from processor.sandbox.wallet import find_wallet

PARTIAL_PAYMENT: Final = 0x00020000
UNAVAILABLE: Final = "unavailable"
"""The delivered amount of a partial payment that has none in its metadata.

Source: https://xrpl.org/docs/concepts/payment-types/partial-payments#the-delivered_amount-field
"""
RIPPLE_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_OLDEST: Final = 32570
_FIRST_INDEX: Final = 90_000_000
_HASH: Final = re.compile(r"[0-9A-Fa-f]{64}")
_json: Final[TypeAdapter[JsonObject]] = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationPace:
    """How long a transaction takes to be validated: a number of requests for it, and the close of its ledger."""

    asks_not_found: int = 1
    """Requests that do not find the transaction."""
    asks_unvalidated: int = 1
    """Requests that find it in an open ledger, after those."""
    close_time: timedelta = timedelta(seconds=4)


@dataclass(slots=True, kw_only=True)
class _Submission:
    transaction: JsonObject
    result: str
    delivered: Any
    ledger_index: int
    closed_at: datetime
    asks: int = 0


class Ledger:
    """The transactions of one network, in memory."""

    def __init__(
        self, *, clock: Clock, network: LedgerNetwork | None = None, pace: ValidationPace | None = None
    ) -> None:
        self.network = network or LedgerNetwork()
        self._clock = clock
        self._pace = pace or ValidationPace()
        self._started_at = clock()
        self._entries: dict[str, _Submission] = {}

    @property
    def validated_index(self) -> int:
        """Number of the newest validated ledger."""
        return _FIRST_INDEX + (self._clock() - self._started_at) // self._pace.close_time

    def submit(
        self,
        txid: str,
        transaction: Mapping[str, Any],
        *,
        result: str = "tesSUCCESS",
        delivered: Any = None,
    ) -> None:
        """Take a signed transaction, which will have ``result``.

        ``delivered``, where given, is less than the ``Amount``: a partial payment, which the flags must allow.
        """
        if not result.startswith(("tes", "tec")):
            return
        index = self.validated_index + 1
        self._entries[txid.upper()] = _Submission(
            transaction=dict(transaction),
            result=result,
            delivered=delivered if delivered is not None else transaction.get("Amount"),
            ledger_index=index,
            closed_at=self._started_at + (index - _FIRST_INDEX) * self._pace.close_time,
        )

    def answer(self, method: str, params: JsonObject) -> JsonObject:
        """The ``result`` object of one request."""
        match method:
            case "tx":
                return self._tx(params)
            case "ledger":
                return self._ledger()
            case "server_info":
                return self._server_info()
            case "account_info":
                return self._account_info(params)
            case _:
                return _build_error("unknownCmd", 32, "Unknown method.", {"command": method, **params})

    def _account_info(self, params: JsonObject) -> JsonObject:
        """Every account exists; an account whose own key is not known here has a regular key."""
        account = params.get("account")
        if not isinstance(account, str) or not is_valid_classic_address(account):
            return _build_error("actMalformed", 35, "Account malformed.", {"command": "account_info", **params})
        signer = find_wallet(account).address
        regular = {} if signer == account else {"RegularKey": signer}
        data = {"Account": account, "LedgerEntryType": "AccountRoot", **regular}
        return {"account_data": data, "ledger_index": self.validated_index, "validated": True, "status": "success"}

    def _tx(self, params: JsonObject) -> JsonObject:
        request = {"command": "tx", **params}
        txid = params.get("transaction")
        if not isinstance(txid, str) or not _HASH.fullmatch(txid):
            return _build_error("invalidParams", 31, "Invalid parameters.", request)
        entry = self._entries.get(txid.upper())
        if entry is not None:
            entry.asks += 1
        if entry is None or entry.asks <= self._pace.asks_not_found:
            error = _build_error("txnNotFound", 29, "Transaction not found.", request)
            return error | self._describe_search(entry, params)
        return self._describe(txid.upper(), entry, version=params.get("api_version", 1))

    def _describe_search(self, entry: _Submission | None, params: JsonObject) -> JsonObject:
        """``searched_all`` where a range was asked for: false as long as the transaction is yet to appear."""
        last = params.get("max_ledger")
        if not isinstance(last, int):
            return {}
        return {"searched_all": entry is None and last <= self.validated_index}

    def _describe(self, txid: str, entry: _Submission, *, version: int) -> JsonObject:
        validated = self._is_validated(entry)
        place = self._describe_place(entry) if validated else {}
        if version == 1:
            return {
                **entry.transaction,
                **place,
                **({"date": _encode_time(entry.closed_at), "inLedger": entry.ledger_index} if validated else {}),
                "hash": txid,
                "validated": validated,
                "status": "success",
            }
        transaction = dict(entry.transaction)
        if transaction.get("TransactionType") == "Payment" and "Amount" in transaction:
            transaction["DeliverMax"] = transaction.pop("Amount")
        if validated:
            transaction |= {"date": _encode_time(entry.closed_at), "ledger_index": entry.ledger_index}
        return {**place, "tx_json": transaction, "hash": txid, "validated": validated, "status": "success"}

    def _is_validated(self, entry: _Submission) -> bool:
        often_asked = entry.asks > self._pace.asks_not_found + self._pace.asks_unvalidated
        return often_asked and self.validated_index >= entry.ledger_index

    def _describe_place(self, entry: _Submission) -> JsonObject:
        """The ledger of a validated transaction, and its metadata."""
        return {
            "close_time_iso": f"{entry.closed_at:%Y-%m-%dT%H:%M:%SZ}",
            "ctid": f"C{entry.ledger_index:07X}0000{self.network.id:04X}",
            "ledger_hash": _hash_ledger(entry.ledger_index),
            "ledger_index": entry.ledger_index,
            "meta": _build_metadata(entry),
        }

    def _ledger(self) -> JsonObject:
        index = self.validated_index
        header = {"ledger_index": str(index), "ledger_hash": _hash_ledger(index), "closed": True}
        return {
            "ledger": header,
            "ledger_hash": header["ledger_hash"],
            "ledger_index": index,
            "validated": True,
            "status": "success",
        }

    def _server_info(self) -> JsonObject:
        index = self.validated_index
        info = {
            "build_version": "2.3.0",
            "complete_ledgers": f"{_OLDEST}-{index}",
            "network_id": self.network.id,
            "server_state": "full",
            "validated_ledger": {
                "age": 1,
                "base_fee_xrp": 0.00001,
                "hash": _hash_ledger(index),
                "seq": index,
            },
        }
        return {"info": info, "status": "success"}


def ledger_routes(ledger: Ledger, others: Mapping[str, Ledger], faults: FaultTable) -> list[web.RouteDef]:
    """JSON-RPC on ``POST /ledger``, and for the network of a name on ``POST /ledger/<name>``.

    Errors of a method have status 200, as those of a real node. A node that is down answers 503.
    """

    async def rpc(request: web.Request) -> web.Response:
        addressed = others.get(request.match_info.get("network", ledger.network.name))
        if addressed is None:
            return web.Response(status=404, text="no such network")
        if faults.find().ledger == "down":
            return web.Response(status=503, text="Service Unavailable")
        try:
            call = _json.validate_json(await request.read())
        except ValidationError:
            return web.Response(status=400, text="Unable to parse request: Json parse error")
        method, params = call.get("method"), call.get("params") or [{}]
        if not isinstance(method, str) or not isinstance(params, list) or not isinstance(params[0], dict):
            return web.Response(status=400, text="params unparsable")
        return web.json_response({"result": addressed.answer(method, params[0])})

    return [web.post("/ledger", rpc), web.post("/ledger/{network}", rpc)]


def _build_metadata(entry: _Submission) -> JsonObject:
    meta: JsonObject = {"AffectedNodes": [], "TransactionIndex": 0, "TransactionResult": entry.result}
    delivers = entry.transaction.get("TransactionType") == "Payment" and entry.result == "tesSUCCESS"
    if not delivers:
        return meta
    if entry.transaction.get("Flags", 0) & PARTIAL_PAYMENT and entry.delivered != UNAVAILABLE:
        meta["DeliveredAmount"] = entry.delivered
    return meta | {"delivered_amount": entry.delivered}


def _build_error(name: str, code: int, message: str, request: JsonObject) -> JsonObject:
    return {
        "error": name,
        "error_code": code,
        "error_message": message,
        "request": request,
        "status": "error",
    }


def _hash_ledger(index: int) -> str:
    return hashlib.sha256(str(index).encode()).hexdigest().upper()


def _encode_time(moment: datetime) -> int:
    return int((moment - RIPPLE_EPOCH).total_seconds())
