"""Nodes of a ledger, called by JSON-RPC over HTTP: what each answers, and which to call first.

Source: https://xrpl.org/docs/references/http-websocket-apis
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from pydantic import ValidationError
from yarl import URL

from processor.core.errors import Unavailable
from processor.core.proof.networks import NETWORK_IDS, OFTEN_UNNUMBERED
from processor.web.client import Connections
from schemas.ledger import ServerInfo

OUTAGE: Final = 30.0
"""Seconds for which a node that failed is called last: at random, from half of it to all of it."""
NETWORK_TRUSTED: Final = 3600.0
"""Seconds for which the network of a node is taken as known."""
FASTEST_CLOSE: Final = 2.0
"""Shortest time in seconds from one ledger to the next."""
CLOCK_SLACK: Final = 60.0
"""Seconds by which Xumm's clock may differ from ours."""
SEARCHED_LEDGERS: Final = 1000
"""Most ledgers that a node searches for one call of ``tx``."""

_TX_NOT_FOUND: Final = "txnNotFound"
_ACCOUNT_NOT_FOUND: Final = "actNotFound"
_RANGE: Final = re.compile(r"\b([0-9]{1,10})(?:-([0-9]{1,10}))?\b")
_ERROR: Final = re.compile(r"[A-Za-z]{1,40}")

Json = dict[str, Any]


class WrongNetwork(Unavailable):
    """The node belongs to another network than the one it is configured for; its answers do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """What a node says of itself."""

    network_id: int | None
    validated_index: int
    """Index of its newest validated ledger; 0 if it has none."""
    complete: tuple[tuple[int, int], ...]
    """First and last index of each range of ledgers that the node holds without a gap."""

    def covers(self, last: int, age: timedelta) -> bool:
        """Whether the node holds every ledger up to ``last`` that closed within ``age``, and ``last`` is validated."""
        ledgers = int((age.total_seconds() + CLOCK_SLACK) / FASTEST_CLOSE)
        first = min(last, max(1, self.validated_index - ledgers))
        return last <= self.validated_index and any(start <= first and last <= end for start, end in self.complete)


class Node:
    """One node of ``network``. Every method raises `Unavailable`, or `WrongNetwork` before its call is made."""

    def __init__(self, url: URL, network: str, connections: Connections, *, clock: Callable[[], float]) -> None:
        self._url = url
        self._network = network
        self._connections = connections
        self._clock = clock
        self._trusted_until = float("-inf")

    @property
    def host(self) -> str:
        """The host name. The rest of the address may hold a key."""
        return self._url.host or ""

    async def transaction(self, txid: str, last_ledger_sequence: int | None) -> Json:
        """The ``result`` of ``tx``: the transaction, or the error ``txnNotFound``."""
        await self._check_network()
        params: Json = {"transaction": txid, "binary": False}
        if last_ledger_sequence is not None:
            params["min_ledger"] = max(1, last_ledger_sequence - SEARCHED_LEDGERS + 1)
            params["max_ledger"] = last_ledger_sequence
        result = await self._ask("tx", params)
        if not is_found(result) or ("error" not in result and str(result.get("hash", "")).upper() == txid):
            return result
        raise Unavailable(f"{self.host} neither has the transaction nor says that it is not found{_error_text(result)}")

    async def regular_key(self, account: str) -> str | None:
        """The regular key of ``account`` in the newest validated ledger; None if it has none, or does not exist."""
        await self._check_network()
        result = await self._ask("account_info", {"account": account, "ledger_index": "validated"})
        if result.get("error") == _ACCOUNT_NOT_FOUND:
            return None
        root = result.get("account_data")
        if "error" in result or not isinstance(root, Mapping) or root.get("Account") != account:
            raise Unavailable(f"{self.host} neither has the account nor says that it is not found{_error_text(result)}")
        if result.get("validated") is not True:
            raise Unavailable(f"{self.host} knows the account from no validated ledger")
        key = root.get("RegularKey")
        return key if isinstance(key, str) else None

    async def covers(self, last: int, age: timedelta) -> bool:
        """As `NodeStatus.covers`, now."""
        return (await self._fetch_status()).covers(last, age)

    async def _check_network(self) -> None:
        expected, now = NETWORK_IDS.get(self._network), self._clock()
        if expected is None or now < self._trusted_until:
            return
        actual = (await self._fetch_status()).network_id
        if actual is None and self._network not in OFTEN_UNNUMBERED:
            raise Unavailable(f"{self.host} does not say of which network it is")
        if actual not in {expected, None}:
            raise WrongNetwork(
                f"{self.host} is a node of network {actual}, not of {self._network}, which is {expected}"
            )
        self._trusted_until = now + NETWORK_TRUSTED

    async def _fetch_status(self) -> NodeStatus:
        result = await self._ask("server_info", {})
        try:
            info = ServerInfo.model_validate(result).info
        except ValidationError:
            raise Unavailable(f"{self.host} gives no valid ``server_info``{_error_text(result)}") from None
        ledger = info.validated_ledger
        return NodeStatus(
            network_id=info.network_id,
            validated_index=0 if ledger is None else ledger.seq,
            complete=tuple((int(start), int(end or start)) for start, end in _RANGE.findall(info.complete_ledgers)),
        )

    async def _ask(self, method: str, params: Json) -> Json:
        answer = await self._connections.ask("POST", self._url, content={"method": method, "params": [params]})
        value = answer.json_object()
        result = None if value is None else value.get("result")
        if answer.status != HTTPStatus.OK or not isinstance(result, dict):
            raise Unavailable(f"{self.host} answered {answer.status} without a result")
        return result


class NodeRotation:
    """The nodes of one network in the order in which to call them: those that failed lately come last."""

    def __init__(self, nodes: Sequence[Node], *, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        self._nodes = list(nodes)
        self._clock = clock
        self._chance = chance
        self._first = int(chance() * len(nodes))
        self._out_until: dict[Node, float] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def order(self) -> list[Node]:
        """All nodes, in the order in which to call them now. One whose outage is over comes first for one caller."""
        now, turned = self._clock(), self._nodes[self._first :] + self._nodes[: self._first]
        order = sorted(turned, key=lambda node: max(now, self._out_until.get(node, now)))
        if self._out_until.get(order[0], now + 1) <= now:
            self.note_failure(order[0])
        return order

    def note_failure(self, node: Node) -> None:
        """Call ``node`` last for a while."""
        self._out_until[node] = self._clock() + OUTAGE * (1 - self._chance() / 2)

    def note_answer(self, node: Node, *, found: bool) -> None:
        """Call ``node`` first from now on; if it found nothing, it may lag behind, and the next one comes first."""
        self._out_until.pop(node, None)
        at = self._nodes.index(node)
        self._first = at if found else (at + 1) % len(self._nodes)


def is_found(result: Json) -> bool:
    """Whether a result of ``tx`` is a transaction, validated or not."""
    return result.get("error") != _TX_NOT_FOUND


def _error_text(result: Json) -> str:
    error = result.get("error")
    return f": {error}" if isinstance(error, str) and _ERROR.fullmatch(error) else ""
