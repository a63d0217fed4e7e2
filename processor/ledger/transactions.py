"""What a ledger says of the transactions of payloads, and of the accounts that signed them.

Each network has its nodes. One answer is enough where it can be compared with the transaction's hash. That a
transaction will never be validated cannot be compared with anything: it takes the word of two nodes, where there are
two.

Source: https://xrpl.org/docs/concepts/transactions/reliable-transaction-submission
"""

import random
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self, TypeVar

import structlog
from yarl import URL

from processor.core.application import Application
from processor.core.errors import Denied, Unavailable
from processor.core.payload.state import PayloadState
from processor.core.proof.evidence import Ledger, SignatureDoubt, Snapshot
from processor.core.reports.ledger import ledger_report
from processor.core.reports.report import LedgerReport, SnapshotReport
from processor.ledger.nodes import Node, NodeRotation, WrongNetwork, is_found
from processor.web.client import Connections

TIMEOUT: Final = timedelta(seconds=5)
"""Of one call to one node."""
WITNESSES: Final = 2
"""Nodes that must agree, where there are as many, that a transaction will never be validated."""

_HASH: Final = re.compile(r"[0-9A-F]{64}")
Result = TypeVar("Result")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAnswer:
    """What a node answered about a transaction."""

    result: dict[str, Any] = field(repr=False)
    """The ``result`` of JSON-RPC, numbers exact. Either the transaction or the error ``txnNotFound``."""
    node: str
    """Host of the node."""
    never_validated: bool = False
    """Whether every ledger that may hold the transaction is validated and holds it not."""

    @property
    def found(self) -> bool:
        """Whether the node knows the transaction, validated or not."""
        return is_found(self.result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """The ledgers that may hold a transaction."""

    last_ledger_sequence: int
    """Index of the last ledger that may hold the transaction."""
    age: timedelta
    """Time since the transaction was signed."""


def report_of(answer: NodeAnswer, *, application: Application, payload: str, txid: str, at: datetime) -> LedgerReport:
    """The report on ``payload`` that ``answer`` stands for. Raises `NormalizeError`."""
    if answer.found:
        return ledger_report(application, payload, txid, answer.result, node=answer.node, at=at)
    ledger = Ledger(
        checked_at=at,
        node=answer.node,
        status="never_validated" if answer.never_validated else "pending",
        txid=txid,
    )
    return LedgerReport(app=application.name, application_uuid=application.uuid, payload=payload, at=at, ledger=ledger)


class LedgerNodes:
    """An async context manager that owns the connections to the nodes of all networks.

    The nodes of a network are equal. A call goes to one after the other until one answers; those that failed lately
    come last, and so does a node that found nothing, since it may lag behind. A node of another network is passed over.
    """

    def __init__(
        self,
        nodes: Mapping[str, Sequence[URL]],
        *,
        timeout: timedelta = TIMEOUT,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._connections = Connections(timeout=timeout, tls=tls)
        self._networks = {
            name: NodeRotation(
                [Node(url, name, self._connections, clock=clock) for url in dict.fromkeys(urls)],
                clock=clock,
                chance=chance,
            )
            for name, urls in nodes.items()
            if urls
        }

    async def __aenter__(self) -> Self:
        await self._connections.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._connections.__aexit__(*exception)

    async def transaction(self, txid: str, network: str, *, lifetime: Lifetime | None = None) -> NodeAnswer:
        """Look transaction ``txid`` (64 hexadecimal digits) up on ``network``, such as ``MAINNET``.

        With ``lifetime`` an answer can prove that the transaction will never be validated; without it, a transaction
        that is not found is pending.

        Raises `Unavailable` if no node answers, `Denied` if no node is configured for the network.
        """
        turns = self._turns(network)
        if not _HASH.fullmatch(txid.upper()):
            raise Denied("the transaction to look up is not named by a hash")
        missing: NodeAnswer | None = None
        witnesses = 0
        for node in turns.order():
            answer = await _try_node(turns, node, _look_up(turns, node, txid.upper(), lifetime))
            if answer is None:
                continue
            if not answer.never_validated:
                return answer
            missing, witnesses = answer, witnesses + 1
            if witnesses == min(WITNESSES, len(turns)):
                return missing
        if missing is not None:
            return replace(missing, never_validated=False)
        raise _no_answer(network, turns)

    async def regular_key(self, account: str, network: str) -> str | None:
        """The regular key of ``account``, None if it has none. Raises `Unavailable`, `Denied`."""
        turns = self._turns(network)
        for node in turns.order():
            answer = await _try_node(turns, node, _fetch_regular_key(node, account))
            if answer is not None:
                return answer[0]
        raise _no_answer(network, turns)

    def _turns(self, network: str) -> NodeRotation:
        turns = self._networks.get(network)
        if turns is None:
            raise Denied(f"no ledger node is configured for the network {network[:32]!r}")
        return turns


async def _look_up(turns: NodeRotation, node: Node, txid: str, lifetime: Lifetime | None) -> NodeAnswer:
    result = await node.transaction(txid, None if lifetime is None else lifetime.last_ledger_sequence)
    never = (
        lifetime is not None
        and not is_found(result)
        and result.get("searched_all") is True
        and await node.covers(lifetime.last_ledger_sequence, lifetime.age)
    )
    turns.note_answer(node, found=is_found(result))
    return NodeAnswer(result=result, node=node.host, never_validated=never)


async def _fetch_regular_key(node: Node, account: str) -> tuple[str | None]:
    return (await node.regular_key(account),)


async def _try_node(turns: NodeRotation, node: Node, asking: Awaitable[Result]) -> Result | None:
    """The node's answer; None if it failed."""
    try:
        return await asking
    except WrongNetwork as error:
        log.error("node.wrong_network", node=node.host, error=str(error))
    except Unavailable as error:
        log.warning("node.failed", node=node.host, error=str(error))
    turns.note_failure(node)
    return None


def _no_answer(network: str, turns: NodeRotation) -> Unavailable:
    return Unavailable(f"none of the {len(turns)} ledger nodes of {network} gave a valid answer")


class Transactions:
    """The ledger's word on the transactions of payloads. Stateless."""

    def __init__(self, nodes: LedgerNodes, *, clock: Callable[[], datetime]) -> None:
        self._nodes = nodes
        self._clock = clock

    async def transaction(self, application: Application, state: PayloadState) -> LedgerReport:
        """What a node says of the transaction in ``state.snapshot``. Raises `LookupFailed` or `NormalizeError`."""
        snapshot = state.snapshot
        if snapshot is None or snapshot.txid is None or snapshot.network is None:
            raise Denied("the transaction and the network of the payload are not known yet")
        now = self._clock()
        answer = await self._nodes.transaction(snapshot.txid, snapshot.network, lifetime=_lifetime(snapshot, now))
        return report_of(answer, application=application, payload=state.payload, txid=snapshot.txid, at=now)

    async def check_regular_key(self, application: Application, report: SnapshotReport) -> SnapshotReport:
        """``report`` with its signature by a regular key proven or disproven, where no transaction will prove it.

        Raises `LookupFailed`: the key's owner is not known then, and the payload is to be fetched again.
        """
        snapshot = report.snapshot
        if snapshot.on_ledger or snapshot.account is None or snapshot.signature is None:
            return report
        if snapshot.signature.unauthorised is None:
            return report
        regular_key = await self._nodes.regular_key(snapshot.account, application.policy.network)
        return replace(report, snapshot=_judge(snapshot, regular_key))


def _lifetime(snapshot: Snapshot, now: datetime) -> Lifetime | None:
    if snapshot.last_ledger_sequence is None or snapshot.resolved_at is None:
        return None
    return Lifetime(
        last_ledger_sequence=snapshot.last_ledger_sequence, age=max(timedelta(0), now - snapshot.resolved_at)
    )


def _judge(snapshot: Snapshot, regular_key: str | None) -> Snapshot:
    signature = snapshot.signature
    if signature is not None and signature.unauthorised == regular_key:
        return replace(snapshot, signature=replace(signature, unauthorised=None))
    return replace(snapshot, signature=None, doubt=SignatureDoubt(field="response.signer", reason="differs"))
