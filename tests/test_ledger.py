import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from yarl import URL

from processor.core.errors import Denied, NormalizeError, Unavailable
from processor.core.state import PayloadState
from processor.ledger import OUTAGE, SEARCHED_LEDGERS, LedgerNodes, NodeAnswer, Transactions, report_of
from tests.core.payloads import NOW, PAYLOAD, SHOP, TXID, UNKNOWN, snapshot
from tests.peer import Reply, drips, everything_said, says, serving, serving_bytes

FOUND: dict[str, Any] = {
    "hash": TXID,
    "validated": True,
    "ledger_index": 90_000_001,
    "TransactionType": "Payment",
    "Fee": "12",
    "meta": {"TransactionResult": "tesSUCCESS", "delivered_amount": "1000000"},
    "status": "success",
}
_QUICK = timedelta(milliseconds=300)
NOT_FOUND = {"error": "txnNotFound", "error_code": 29, "error_message": "Transaction not found.", "status": "error"}


class Hands:
    """A clock that stands until told, and a chance that is always the same."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def chance(self) -> float:
        return 0.0


def nodes(*urls: URL, hands: Hands | None = None, **options: Any) -> LedgerNodes:
    hands = hands or Hands()
    return LedgerNodes({"MAINNET": urls}, clock=hands.clock, chance=hands.chance, **options)


def answers(result: object) -> Reply:
    return says({"result": result})


def reported(result: dict[str, Any], *, last_ledger_sequence: int | None = None) -> Any:
    answer = NodeAnswer(result=result, node="node.example", last_ledger_sequence=last_ledger_sequence)
    return report_of(answer, application=SHOP, payload=PAYLOAD, txid=TXID, at=NOW)


async def test_transaction_is_asked_for_by_json_rpc() -> None:
    """One POST of a `tx` request for the transaction; the result comes back with the node that gave it."""
    async with serving(answers(FOUND)) as peer, nodes(peer.url) as ledger:
        answer = await ledger.transaction(TXID.lower(), "MAINNET")

    assert (answer.result, answer.node) == (FOUND, "127.0.0.1")
    assert peer.asked[0].method == "POST"
    assert json.loads(peer.bodies[0]) == {"method": "tx", "params": [{"transaction": TXID, "binary": False}]}


async def test_numbers_stay_exact() -> None:
    """A fraction never passes through binary floating point on its way."""
    body = json.dumps({"result": FOUND}).replace('"1000000"', "0.1000000000000000055511151231257827")
    async with serving(says(body.encode())) as peer, nodes(peer.url) as ledger:
        answer = await ledger.transaction(TXID, "MAINNET")

    assert answer.result["meta"]["delivered_amount"] == Decimal("0.1000000000000000055511151231257827")
    with pytest.raises(NormalizeError, match="delivered_amount"):
        reported(answer.result)


BAD: dict[str, Reply] = {
    "no-json": says(b"<html>"),
    "no-result": says({}),
    "odd-result": answers("success"),
    "other-transaction": answers(FOUND | {"hash": "CD" * 32}),
    "no-hash": answers({"status": "success"}),
    "too-busy": answers({"error": "tooBusy", "status": "error"}),
    "odd-error": answers({"error": {"a": 1}, "status": "error"}),
    "status-503": says({"result": FOUND}, status=503),
    "redirect": says({"result": FOUND}, status=302, headers={"Location": "/elsewhere"}),
    "huge": says(b" " * 1_100_000),
    "slow": drips(first=b"{"),
}


@pytest.mark.parametrize("reply", BAD.values(), ids=BAD)
async def test_next_node_is_asked_when_one_fails(reply: Reply) -> None:
    """Whatever is wrong with a node, the next one answers, and the failure is on record."""
    async with serving(reply) as bad, serving(answers(FOUND)) as good:
        with capture_logs() as logs:
            async with nodes(bad.url, good.url, timeout=_QUICK) as ledger:
                answer = await ledger.transaction(TXID, "MAINNET")

    assert answer.result == FOUND
    assert [(line["event"], line["node"]) for line in logs] == [("node.failed", "127.0.0.1")]
    assert len(bad.asked) == len(good.asked) == 1


async def test_failed_node_is_asked_last_for_a_while() -> None:
    """A node that failed is spared until its time is over, even when it would be its turn; then it has its turn."""
    hands = Hands()
    async with (
        serving(says({}, status=500)) as bad,
        serving(answers(NOT_FOUND)) as good,
        nodes(bad.url, good.url, hands=hands) as ledger,
    ):
        for _ in range(3):
            await ledger.transaction(TXID, "MAINNET")
        spared = len(bad.asked), len(good.asked)
        hands.now += OUTAGE
        await ledger.transaction(TXID, "MAINNET")

        assert spared == (1, 3)
        assert (len(bad.asked), len(good.asked)) == (2, 4)


async def test_node_that_found_nothing_is_not_asked_first_again() -> None:
    """A node that lags behind cannot keep a transaction from being found."""
    async with (
        serving(answers(NOT_FOUND)) as lagging,
        serving(answers(FOUND)) as good,
        nodes(lagging.url, good.url) as ledger,
    ):
        found = [(await ledger.transaction(TXID, "MAINNET")).found for _ in range(3)]

    assert found == [False, True, True]


async def test_no_answer_from_any_node_is_unavailable() -> None:
    """Refused, broken and confused nodes together are a matter of time; addresses, which may hold keys, stay unsaid."""
    async with serving_bytes(b"") as refused:
        pass
    async with serving_bytes(b"nonsense\r\n\r\n") as broken, serving(says([])) as confused:
        urls = [url / "c0ffee" for url in (refused, broken, confused.url)]
        async with nodes(*urls) as ledger:
            with capture_logs() as logs, pytest.raises(Unavailable) as caught:
                await ledger.transaction(TXID, "MAINNET")

    assert len(logs) == 3
    assert "c0ffee" not in everything_said(caught.value) + str(logs)


@pytest.mark.parametrize(("network", "txid"), [("TESTNET", TXID), ("EMPTY", TXID), ("MAINNET", "AB"), ("MAINNET", "")])
async def test_what_cannot_be_asked_is_denied(network: str, txid: str) -> None:
    """A network without nodes and a name that is no hash fail clearly, without a call."""
    async with serving(answers(FOUND)) as peer, LedgerNodes({"MAINNET": [peer.url], "EMPTY": []}) as ledger:
        with pytest.raises(Denied):
            await ledger.transaction(txid, network)

    assert peer.asked == []


def test_validated_transaction_is_reported_with_what_was_delivered() -> None:
    """The report carries the result, the delivered amount and the node."""
    ledger = reported(FOUND).ledger

    assert (ledger.status, ledger.result, ledger.delivered_amount) == ("validated", "tesSUCCESS", "1000000")
    assert (ledger.node, ledger.txid, ledger.checked_at) == ("node.example", TXID, NOW)


def test_found_but_not_validated_is_pending() -> None:
    """A transaction in an open ledger may still change."""
    assert reported({"hash": TXID, "validated": False, "status": "success"}).ledger.status == "pending"


@pytest.mark.parametrize(
    ("result", "last_ledger_sequence", "status"),
    [
        (NOT_FOUND, None, "pending"),
        (NOT_FOUND, 90_000_020, "pending"),
        (NOT_FOUND | {"searched_all": True}, None, "pending"),
        (NOT_FOUND | {"searched_all": False}, 90_000_020, "pending"),
        (NOT_FOUND | {"searched_all": "true"}, 90_000_020, "pending"),
        (NOT_FOUND | {"searched_all": True}, 90_000_020, "never_validated"),
    ],
)
def test_not_found_is_final_only_when_proven(
    result: dict[str, Any], last_ledger_sequence: int | None, status: str
) -> None:
    """Only a node that searched everything up to the transaction's last ledger proves that it failed for good."""
    assert reported(result, last_ledger_sequence=last_ledger_sequence).ledger.status == status


async def test_last_ledger_bounds_the_search() -> None:
    """The node is asked to search as many ledgers as it allows, up to the last one that may hold the transaction."""
    async with serving(answers(NOT_FOUND | {"searched_all": True})) as peer, nodes(peer.url) as ledger:
        answer = await ledger.transaction(TXID, "MAINNET", last_ledger_sequence=90_000_020)

    params = json.loads(peer.bodies[0])["params"][0]
    assert (params["min_ledger"], params["max_ledger"]) == (90_000_020 - SEARCHED_LEDGERS + 1, 90_000_020)
    assert answer.never_validated


@pytest.mark.parametrize("missing", [{"txid": None}, {"network": None}])
async def test_state_without_a_transaction_is_denied(missing: dict[str, None]) -> None:
    """What was not fetched yet cannot be checked."""
    known = snapshot().snapshot
    states: Sequence[PayloadState] = [UNKNOWN, UNKNOWN._replace(snapshot=replace(known, **missing))]
    async with nodes() as ledger:
        for state in states:
            with pytest.raises(Denied, match="nothing says yet"):
                await Transactions(ledger, clock=lambda: NOW).transaction(SHOP, state)


async def test_transaction_of_a_state_is_reported() -> None:
    """The transaction of the snapshot is looked up on the snapshot's network and becomes a report."""
    state = UNKNOWN._replace(snapshot=snapshot().snapshot)
    async with serving(answers(FOUND)) as peer, nodes(peer.url) as ledger:
        report = await Transactions(ledger, clock=lambda: NOW).transaction(SHOP, state)

    assert (report.app, report.payload, report.at) == ("shop", PAYLOAD, NOW)
    assert report.ledger.succeeded


async def test_connection_is_kept() -> None:
    """Asking a node again opens no new connection."""

    async def reply(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"result": FOUND})

    async with serving(reply) as peer, nodes(peer.url) as ledger:
        for _ in range(3):
            await ledger.transaction(TXID, "MAINNET")

    assert len(peer.connections) == 1
