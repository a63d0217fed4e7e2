"""Transactions as the nodes of a ledger know them, by JSON-RPC over HTTP.

Source: https://xrpl.org/docs/references/http-websocket-apis/public-api-methods/transaction-methods/tx
"""

import random
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import structlog
from yarl import URL

from processor.core.application import Application
from processor.core.errors import Denied, Unavailable
from processor.core.evidence import Ledger
from processor.core.normalize import ledger_report
from processor.core.report import LedgerReport
from processor.core.state import PayloadState
from processor.outbound import Answer, Connections

TIMEOUT: Final = timedelta(seconds=5)
"""For one node."""
OUTAGE: Final = 30.0
"""Seconds for which a node that failed is asked last; half of it to all of it, at random."""
SEARCHED_LEDGERS: Final = 1000
"""The most that a node searches in one go."""

_NOT_FOUND: Final = "txnNotFound"
_ERROR: Final = re.compile(r"[A-Za-z]{1,40}")
_HASH: Final = re.compile(r"[0-9A-F]{64}")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAnswer:
    """What a node said of a transaction."""

    result: dict[str, Any] = field(repr=False)
    """The ``result`` of JSON-RPC, numbers exact. Either the transaction or the error ``txnNotFound``."""
    node: str
    """Host of the node."""
    last_ledger_sequence: int | None = None
    """The ledger up to which the node was asked to search."""

    @property
    def found(self) -> bool:
        """Whether the node knows the transaction, validated or not."""
        return self.result.get("error") != _NOT_FOUND

    @property
    def never_validated(self) -> bool:
        """Whether the transaction is in no ledger that it could have been in, and can come into no other."""
        searched = self.result.get("searched_all") is True
        return not self.found and searched and self.last_ledger_sequence is not None


def report_of(answer: NodeAnswer, *, application: Application, payload: str, txid: str, at: datetime) -> LedgerReport:
    """What ``answer`` means for ``payload``. Raises `NormalizeError`."""
    if answer.found:
        return ledger_report(application, payload, txid, answer.result, node=answer.node, at=at)
    ledger = Ledger(
        checked_at=at,
        node=answer.node,
        status="never_validated" if answer.never_validated else "pending",
        txid=txid,
    )
    return LedgerReport(app=application.name, application=application.uuid, payload=payload, at=at, ledger=ledger)


class LedgerNodes:
    """An async context manager that owns the connections to the nodes of all networks.

    Each network has its nodes, in no order of preference. A call asks one after the other until one answers, those
    that failed lately last, and the one that found nothing is not the first to be asked next: it may lag behind.
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
        self._networks = {name: _Network(urls, clock=clock, chance=chance) for name, urls in nodes.items() if urls}
        self._connections = Connections(timeout=timeout, tls=tls)

    async def __aenter__(self) -> Self:
        await self._connections.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.__aexit__(kind, error, trace)

    async def transaction(self, txid: str, network: str, *, last_ledger_sequence: int | None = None) -> NodeAnswer:
        """Look transaction ``txid`` (64 hexadecimal digits) up on ``network``, such as ``MAINNET``.

        With ``last_ledger_sequence``, the last ledger that may hold it, an answer can prove that it will never be
        validated; without, not found means not found yet. A wallet sets it a few ledgers ahead; `SEARCHED_LEDGERS` up
        to it are searched.

        Raises `Unavailable` if no node gave an answer, `Denied` if the network has none.
        """
        nodes = self._networks.get(network)
        if nodes is None:
            raise Denied(f"no ledger node is configured for the network {network[:32]!r}")
        if not _HASH.fullmatch(txid.upper()):
            raise Denied("the transaction to look up is not named by a hash")
        for node in nodes.in_turn():
            result = await self._ask(node, nodes, _question(txid.upper(), last_ledger_sequence))
            if result is not None:
                return NodeAnswer(result=result, node=node.host or "", last_ledger_sequence=last_ledger_sequence)
        raise Unavailable(f"none of the {len(nodes)} ledger nodes of {network} gave an answer that makes sense")

    async def _ask(self, node: URL, nodes: "_Network", question: dict[str, Any]) -> dict[str, Any] | None:
        try:
            answer = await self._connections.ask("POST", node, content=question)
            result = _result_of(answer, question["params"][0]["transaction"])
        except Unavailable as error:
            nodes.failed(node)
            log.warning("node.failed", node=node.host, error=str(error))
            return None
        nodes.answered(node, found="error" not in result)
        return result


class Transactions:
    """What a ledger says of the transactions that payloads became. Stateless."""

    def __init__(self, nodes: LedgerNodes, *, clock: Callable[[], datetime]) -> None:
        self._nodes = nodes
        self._clock = clock

    async def transaction(self, application: Application, state: PayloadState) -> LedgerReport:
        """What a node says of the transaction in ``state.snapshot``. Raises `LookupFailed` or `NormalizeError`."""
        snapshot = state.snapshot
        if snapshot is None or snapshot.txid is None or snapshot.network is None:
            raise Denied("nothing says yet which transaction of which network the payload became")
        answer = await self._nodes.transaction(
            snapshot.txid, snapshot.network, last_ledger_sequence=snapshot.last_ledger_sequence
        )
        return report_of(answer, application=application, payload=state.payload, txid=snapshot.txid, at=self._clock())


class _Network:
    """The nodes of one network, and which of them to ask first."""

    def __init__(self, nodes: Sequence[URL], *, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        self._nodes = list(nodes)
        self._clock = clock
        self._chance = chance
        self._first = int(chance() * len(nodes))
        self._out_until: dict[URL, float] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def in_turn(self) -> list[URL]:
        """All nodes, in the order in which to ask them now."""
        now, turned = self._clock(), self._nodes[self._first :] + self._nodes[: self._first]
        return sorted(turned, key=lambda node: max(now, self._out_until.get(node, now)))

    def failed(self, node: URL) -> None:
        """Ask ``node`` last for a while."""
        self._out_until[node] = self._clock() + OUTAGE * (1 - self._chance() / 2)

    def answered(self, node: URL, *, found: bool) -> None:
        """Ask ``node`` first from now on, or the one after it if it found nothing."""
        self._out_until.pop(node, None)
        at = self._nodes.index(node)
        self._first = at if found else (at + 1) % len(self._nodes)


def _question(txid: str, last_ledger_sequence: int | None) -> dict[str, Any]:
    params: dict[str, Any] = {"transaction": txid, "binary": False}
    if last_ledger_sequence is not None:
        params["min_ledger"] = max(1, last_ledger_sequence - SEARCHED_LEDGERS + 1)
        params["max_ledger"] = last_ledger_sequence
    return {"method": "tx", "params": [params]}


def _result_of(answer: Answer, txid: str) -> dict[str, Any]:
    """The ``result`` if it says what was asked: the transaction, or that it is not found. Raises `Unavailable`."""
    value = answer.json_object()
    result = None if value is None else value.get("result")
    if answer.status != HTTPStatus.OK or not isinstance(result, dict):
        raise Unavailable(f"{answer.host} answered {answer.status} without a result")
    if result.get("error") == _NOT_FOUND or ("error" not in result and str(result.get("hash", "")).upper() == txid):
        return result
    raise Unavailable(f"{answer.host} neither has the transaction nor says that it is not found{_named(result)}")


def _named(result: dict[str, Any]) -> str:
    error = result.get("error")
    return f": {error}" if isinstance(error, str) and _ERROR.fullmatch(error) else ""
