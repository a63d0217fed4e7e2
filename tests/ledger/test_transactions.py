import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from yarl import URL

from processor.core.errors import Denied, NormalizeError, Unavailable
from processor.core.payload.state import PayloadState
from processor.core.proof.evidence import SignatureDoubt, VerifiedSignature
from processor.ledger.nodes import NETWORK_TRUSTED, OUTAGE, SEARCHED_LEDGERS
from processor.ledger.transactions import LedgerNodes, Lifetime, NodeAnswer, Transactions, report_of
from tests.core.payloads import ACCOUNT, NOW, PAYLOAD, SHOP, TXID, UNKNOWN, sign_in, snapshot
from tests.support.peer import Peer, Reply, drips, everything_said, says, serving, serving_bytes
from tests.support.watching import until

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


LAST = 90_000_020
NEVER = NOT_FOUND | {"searched_all": True}
INFO = {
    "network_id": 0,
    "validated_ledger": {"seq": LAST, "hash": "AB"},
    "complete_ledgers": f"32570-89000000,{LAST - 600}-{LAST}",
}
TESTNET_INFO = INFO | {"network_id": 1}


def answers(result: object, *, info: object = INFO, account: object = None) -> Reply:
    """A node of the main network that says ``result`` to whoever asks for a transaction."""

    async def reply(request: web.Request) -> web.StreamResponse:
        method = (await request.json())["method"]
        said = {"tx": result, "server_info": {"info": info}, "account_info": account}[method]
        return web.json_response({"result": said})

    return reply


def tx_calls(peer: Peer) -> list[dict[str, Any]]:
    """The parameters of all calls of ``tx``."""
    calls = [json.loads(body) for body in peer.bodies]
    return [call["params"][0] for call in calls if call["method"] == "tx"]


def reported(result: dict[str, Any], *, never_validated: bool = False) -> Any:
    answer = NodeAnswer(result=result, node="node.example", never_validated=never_validated)
    return report_of(answer, application=SHOP, payload=PAYLOAD, txid=TXID, at=NOW)


async def test_transaction_is_asked_for_by_json_rpc() -> None:
    """One POST of a `tx` request for the transaction; the result comes back with the node that gave it."""
    async with serving(answers(FOUND)) as peer, nodes(peer.url) as ledger:
        answer = await ledger.transaction(TXID.lower(), "MAINNET")

    assert (answer.result, answer.node) == (FOUND, "127.0.0.1")
    assert peer.asked[-1].method == "POST"
    assert json.loads(peer.bodies[-1]) == {"method": "tx", "params": [{"transaction": TXID, "binary": False}]}


async def test_numbers_stay_exact() -> None:
    """A fraction never passes through binary floating point on its way."""
    both = json.dumps({"result": FOUND | {"info": INFO}})
    body = both.replace('"1000000"', "0.1000000000000000055511151231257827")
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
    assert [(queue["event"], queue["node"]) for queue in logs] == [("node.failed", "127.0.0.1")]
    assert len(tx_calls(good)) == 1


async def test_failed_node_is_tried_by_one_alone() -> None:
    """When its time is over, one call finds out whether it answers again; those that come meanwhile pass it over."""
    hands = Hands()
    async with (
        serving(drips(first=b"{")) as hung,
        serving(answers(NOT_FOUND)) as good,
        nodes(hung.url, good.url, hands=hands, timeout=_QUICK) as ledger,
    ):
        await ledger.transaction(TXID, "MAINNET")
        asked = len(hung.asked)
        hands.now += OUTAGE
        await asyncio.gather(*(ledger.transaction(TXID, "MAINNET") for _ in range(20)))

        assert (asked, 2) == (1, len(hung.asked))


async def test_hung_nodes_of_one_network_keep_no_connection_of_another() -> None:
    """However many calls wait for nodes that do not answer, those of another network are asked at once."""
    async with (
        serving(drips(first=b"{")) as hung,
        serving(answers(FOUND, info=TESTNET_INFO)) as good,
        LedgerNodes({"MAINNET": [hung.url], "TESTNET": [good.url]}) as ledger,
    ):
        waiting = [asyncio.create_task(ledger.transaction(TXID, "MAINNET")) for _ in range(100)]
        await until(lambda: len(hung.asked) == 32)
        answer = await ledger.transaction(TXID, "TESTNET")
        waited_for = [call for call in waiting if not call.done()]
        for call in waiting:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    assert FOUND == answer.result
    assert len(waiting) == len(waited_for)


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
        spared = len(bad.asked), len(tx_calls(good))
        hands.now += OUTAGE
        await ledger.transaction(TXID, "MAINNET")

        assert spared == (1, 3)
        assert (len(bad.asked), len(tx_calls(good))) == (2, 4)


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
    ("said", "never_validated", "status"),
    [(NOT_FOUND, False, "pending"), (NEVER, False, "pending"), (NEVER, True, "never_validated")],
)
def test_not_found_is_final_only_when_proven(said: dict[str, Any], *, never_validated: bool, status: str) -> None:
    """What was not found may still come, unless the nodes prove otherwise."""
    assert reported(said, never_validated=never_validated).ledger.status == status


BEHIND = INFO | {"validated_ledger": {"seq": LAST - 1}}
GAP = INFO | {"complete_ledgers": f"32570-{LAST - 1}"}
SHORT = INFO | {"complete_ledgers": f"{LAST - 100}-{LAST}"}
LIFETIME = Lifetime(last_ledger_sequence=LAST, age=timedelta(minutes=10))


@pytest.mark.parametrize(
    ("replies", "lifetime", "never"),
    [
        ([answers(NEVER)], LIFETIME, True),
        ([answers(NEVER)], None, False),
        ([answers(NOT_FOUND)], LIFETIME, False),
        ([answers(NOT_FOUND | {"searched_all": False})], LIFETIME, False),
        ([answers(NOT_FOUND | {"searched_all": "true"})], LIFETIME, False),
        ([answers(NEVER, info=BEHIND)], LIFETIME, False),
        ([answers(NEVER, info={"network_id": 0})], LIFETIME, False),
        ([answers(NEVER, info=GAP)], LIFETIME, False),
        ([answers(NEVER, info=SHORT)], LIFETIME, False),
        ([answers(NEVER, info=INFO | {"complete_ledgers": "empty"})], LIFETIME, False),
        ([answers(NEVER)], replace(LIFETIME, age=timedelta(hours=1)), False),
        ([answers(NEVER), answers(NEVER)], LIFETIME, True),
        ([answers(NEVER), answers(NEVER, info=BEHIND)], LIFETIME, False),
        ([answers(NEVER), answers(NOT_FOUND)], LIFETIME, False),
        ([answers(NEVER), says({}, status=503)], LIFETIME, False),
        ([answers(NEVER), answers(NEVER), says({}, status=503)], LIFETIME, True),
        ([says({}, status=503), answers(NEVER), answers(NEVER)], LIFETIME, True),
    ],
    ids=[
        "one-node", "no-last-ledger", "not-searched", "partly-searched", "odd-searched", "behind", "no-ledger",
        "gap", "short", "empty", "long-ago", "two-agree", "one-behind", "one-unsure", "one-silent", "enough",
        "first-silent",
    ],
)  # fmt: skip
async def test_never_validated_takes_two_witnesses(
    replies: list[Reply], lifetime: Lifetime | None, *, never: bool
) -> None:
    """All ledgers since the signature held, the last validated: by the one node that there is, or by two."""
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(serving(reply)) for reply in replies]
        ledger = await stack.enter_async_context(nodes(*(peer.url for peer in peers)))
        answer = await ledger.transaction(TXID, "MAINNET", lifetime=lifetime)

    assert (answer.found, answer.never_validated) == (False, never)


async def test_a_node_that_has_the_transaction_outweighs_one_that_has_not() -> None:
    """The second witness finds it: then that is what counts."""
    async with (
        serving(answers(NEVER)) as lacking,
        serving(answers(FOUND)) as having,
        nodes(lacking.url, having.url) as ledger,
    ):
        answer = await ledger.transaction(TXID, "MAINNET", lifetime=LIFETIME)

    assert (answer.result, answer.never_validated) == (FOUND, False)


async def test_the_same_node_twice_is_one_witness() -> None:
    """An address that is configured twice is one node, and counts once."""
    async with serving(answers(NEVER)) as peer, nodes(peer.url, peer.url) as ledger:
        answer = await ledger.transaction(TXID, "MAINNET", lifetime=LIFETIME)

    assert (answer.never_validated, len(tx_calls(peer))) == (True, 1)


async def test_last_ledger_bounds_the_search() -> None:
    """The node is asked to search as many ledgers as it allows, up to the last one that may hold the transaction."""
    async with serving(answers(NEVER)) as peer, nodes(peer.url) as ledger:
        await ledger.transaction(TXID, "MAINNET", lifetime=LIFETIME)

    (params,) = tx_calls(peer)
    assert (params["min_ledger"], params["max_ledger"]) == (LAST - SEARCHED_LEDGERS + 1, LAST)


@pytest.mark.parametrize(
    ("network", "info"),
    [
        ("MAINNET", {"network_id": 0}),
        ("MAINNET", {"network_id": "0"}),
        ("MAINNET", {}),
        ("TESTNET", {"network_id": 1}),
        ("DEVNET", {"network_id": 2}),
        ("XAHAU", {"network_id": 21337}),
        ("XAHAUTESTNET", {"network_id": "21338"}),
        ("MARSNET", {"network_id": 4711}),
    ],
)
async def test_a_node_of_the_network_is_believed(network: str, info: dict[str, Any]) -> None:
    """By its number, which old nodes of the main network lack; a network without a known number goes unchecked."""
    async with serving(answers(FOUND, info=info)) as peer, LedgerNodes({network: [peer.url]}) as ledger:
        assert (await ledger.transaction(TXID, network)).result == FOUND


@pytest.mark.parametrize(
    ("network", "info", "event"),
    [
        ("MAINNET", {"network_id": 1}, "node.wrong_network"),
        ("TESTNET", {"network_id": 0}, "node.wrong_network"),
        ("XAHAU", {"network_id": 21338}, "node.wrong_network"),
        ("TESTNET", {}, "node.failed"),
        ("MAINNET", None, "node.failed"),
        ("MAINNET", {"network_id": True}, "node.failed"),
        ("MAINNET", {"network_id": 0.0}, "node.failed"),
        ("MAINNET", {"network_id": "zero"}, "node.failed"),
        ("MAINNET", {"network_id": 0, "validated_ledger": 5}, "node.failed"),
    ],
)
async def test_a_node_of_another_network_is_passed_over(network: str, info: Any, event: str) -> None:
    """It is on record, is never asked for the transaction, and the next node answers."""
    right = {"MAINNET": 0, "TESTNET": 1, "XAHAU": 21337}[network]
    async with serving(answers(FOUND, info=info)) as wrong, serving(answers(FOUND, info={"network_id": right})) as good:
        hands = Hands()
        urls = {network: [wrong.url, good.url]}
        with capture_logs() as logs:
            async with LedgerNodes(urls, clock=hands.clock, chance=hands.chance) as ledger:
                answer = await ledger.transaction(TXID, network)

    assert (answer.result, tx_calls(wrong), [queue["event"] for queue in logs]) == (FOUND, [], [event])


async def test_the_network_of_a_node_is_asked_once_an_hour() -> None:
    """Which network a node is of is remembered, but not for ever."""
    hands = Hands()
    async with serving(answers(FOUND)) as peer, nodes(peer.url, hands=hands) as ledger:
        for _ in range(3):
            await ledger.transaction(TXID, "MAINNET")
        hands.now += NETWORK_TRUSTED
        await ledger.transaction(TXID, "MAINNET")

    assert len(peer.asked) - len(tx_calls(peer)) == 2


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "never_validated"),
        ({"last_ledger_sequence": None}, "pending"),
        ({"resolved_at": None}, "pending"),
        ({"resolved_at": NOW - timedelta(hours=1)}, "pending"),
        ({"resolved_at": NOW + timedelta(seconds=5)}, "never_validated"),
    ],
)
async def test_a_snapshot_says_how_far_to_look(changes: dict[str, Any], status: str) -> None:
    """Its last ledger and when it was signed: without both, nothing is final."""
    known = snapshot(**({"last_ledger_sequence": LAST, "resolved_at": NOW} | changes)).snapshot
    async with serving(answers(NEVER)) as peer, nodes(peer.url) as ledger:
        transactions = Transactions(ledger, clock=lambda: NOW)
        report = await transactions.transaction(SHOP, UNKNOWN._replace(snapshot=known))

    assert report.ledger.status == status


KEY_ADDRESS = "rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe"
FOREIGN = VerifiedSignature(account=KEY_ADDRESS, algorithm="ed25519", unauthorised=KEY_ADDRESS)
NO_ACCOUNT = {"error": "actNotFound", "status": "error"}


def owned(**root: Any) -> dict[str, Any]:
    return {"account_data": {"Account": ACCOUNT} | root, "validated": True, "status": "success"}


@pytest.mark.parametrize(
    ("account", "proven"),
    [
        (owned(RegularKey=KEY_ADDRESS), True),
        (owned(RegularKey=ACCOUNT), False),
        (owned(), False),
        (owned(RegularKey=5), False),
        (NO_ACCOUNT, False),
    ],
)
async def test_the_ledger_says_whose_regular_key_it_is(account: object, *, proven: bool) -> None:
    """A sign-in with a key of another address counts if the account has it as regular key, else it is disproven."""
    async with serving(answers(None, account=account)) as peer, nodes(peer.url) as ledger:
        transactions = Transactions(ledger, clock=lambda: NOW)
        judged = (await transactions.check_regular_key(SHOP, sign_in(signature=FOREIGN))).snapshot

    assert (proven, None if proven else SignatureDoubt(field="response.signer", reason="differs")) == (
        judged.proven,
        judged.doubt,
    )


@pytest.mark.parametrize(
    "account",
    [
        {"error": "tooBusy"},
        owned() | {"validated": False},
        {"account_data": {"Account": KEY_ADDRESS}, "validated": True},
        {"account_data": [], "validated": True},
        {},
        "nonsense",
    ],
)
async def test_an_unclear_answer_about_a_key_decides_nothing(account: object) -> None:
    """The payload is fetched again then."""
    async with serving(answers(None, account=account)) as peer, nodes(peer.url) as ledger:
        with pytest.raises(Unavailable):
            await Transactions(ledger, clock=lambda: NOW).check_regular_key(SHOP, sign_in(signature=FOREIGN))


@pytest.mark.parametrize("report", [sign_in(), snapshot(signature=FOREIGN), snapshot("rejected")])
async def test_no_node_is_asked_where_none_is_needed(report: Any) -> None:
    """An account's own key needs no ledger, and a transaction will be judged by its own."""
    async with nodes() as ledger:
        assert report == await Transactions(ledger, clock=lambda: NOW).check_regular_key(SHOP, report)


@pytest.mark.parametrize("missing", [{"txid": None}, {"network": None}])
async def test_state_without_a_transaction_is_denied(missing: dict[str, None]) -> None:
    """What was not fetched yet cannot be checked."""
    known = snapshot().snapshot
    states: Sequence[PayloadState] = [UNKNOWN, UNKNOWN._replace(snapshot=replace(known, **missing))]
    async with nodes() as ledger:
        for state in states:
            with pytest.raises(Denied, match="are not known yet"):
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

    async with serving(answers(FOUND)) as peer, nodes(peer.url) as ledger:
        for _ in range(3):
            await ledger.transaction(TXID, "MAINNET")

    assert len(peer.connections) == 1
