"""RabbitMQ's management API, as far as a topology needs it.

Source: https://www.rabbitmq.com/docs/http-api-reference
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self, assert_never
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from yarl import URL

from processor.broker.address import parse_addresses
from processor.broker.topology.objects import Actual, Binding, Exchange, Policy, Queue, Setting, Topology
from processor.core.publishing.debts import QueueBindings

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)
_LIGHT: Final = "disable_stats=true&enable_queue_totals=true"
"""Leaves out statistics, which are dear on a busy broker and lag behind."""


class TopologyError(Exception):
    """The management API cannot be reached, or said no. The message tells no password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementAccess:
    """Where the management API is, for whom, and the virtual host in question."""

    url: str
    """Without path, such as ``http://broker:15672``."""
    user: str
    password: str = field(repr=False)
    vhost: str = "/"


def parse_access(management_url: str, amqp_urls: str | Sequence[str]) -> ManagementAccess:
    """Access by a management URL; the first AMQP URL gives the virtual host, and user and password if need be.

    Raises `ValueError`, which tells no password.
    """
    broker = parse_addresses(amqp_urls)[0]
    try:
        parts = urlsplit(management_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("management URL cannot be read; percent-encode what is special in its password") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("management URL must be http:// or https:// and name a host")
    place = f"[{host}]" if ":" in host else host
    return ManagementAccess(
        url=f"{parts.scheme}://{place}" + (f":{port}" if port else "") + parts.path.rstrip("/"),
        user=broker.user if parts.username is None else unquote(parts.username),
        password=broker.password if parts.password is None else unquote(parts.password),
        vhost=broker.vhost,
    )


class Management:
    """Reads and writes the objects of one virtual host. An async context manager; raises `TopologyError`."""

    def __init__(self, access: ManagementAccess) -> None:
        self._access = access
        self._vhost = quote(access.vhost, safe="")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        credentials = b64encode(f"{self._access.user}:{self._access.password}".encode()).decode()
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Basic {credentials}"}, timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(self) -> Actual:
        """Everything there is."""
        try:
            return await self._read()
        except (KeyError, TypeError) as exc:
            raise TopologyError(f"management API at {self._access.url}: an answer of another form: {exc!r}") from exc

    async def _read(self) -> Actual:
        exchanges = await self._list(f"exchanges/{self._vhost}?{_LIGHT}")
        queues = await self._list(f"queues/{self._vhost}?{_LIGHT}")
        bindings = await self._list(f"bindings/{self._vhost}")
        policies = await self._list(f"policies/{self._vhost}")
        return Actual(
            topology=Topology(
                policies=tuple(map(_read_policy, policies)),
                exchanges=tuple(map(_read_exchange, exchanges)),
                queues=tuple(map(_read_queue, queues)),
                bindings=tuple(_read_binding(raw) for raw in bindings if raw["destination_type"] == "queue"),
            ),
            policy_of_exchange={raw["name"]: raw.get("policy") or None for raw in exchanges},
            policy_of_queue={raw["name"]: raw.get("policy") or None for raw in queues},
        )

    async def bound(self, exchange: str) -> QueueBindings:
        """The queues that ``exchange`` routes to; those behind another exchange are left out."""
        found: dict[str, list[str]] = {}
        complete = True
        for raw in await self._call("GET", f"exchanges/{self._vhost}/{_quote(exchange)}/bindings/source"):
            if raw["destination_type"] == "queue":
                found.setdefault(raw["destination"], []).append(raw["routing_key"])
            else:
                complete = False
        return QueueBindings(topics=found, complete=complete)

    async def write(self, target: Exchange | Queue | Binding | Policy) -> None:
        """Declare or set it. Raises `TopologyError` where something of that name is in the way."""
        match target:
            case Exchange():
                body = {"type": target.type, "durable": target.durable, "arguments": dict(target.arguments)}
                await self._call("PUT", f"exchanges/{self._vhost}/{_quote(target.name)}", body)
            case Queue():
                body = {"durable": target.durable, "auto_delete": False, "arguments": dict(target.arguments)}
                await self._call("PUT", f"queues/{self._vhost}/{_quote(target.name)}", body)
            case Binding():
                body = {"routing_key": target.routing_key, "arguments": {}}
                place = f"e/{_quote(target.exchange)}/q/{_quote(target.queue)}"
                await self._call("POST", f"bindings/{self._vhost}/{place}", body)
            case Policy():
                body = {
                    "pattern": target.pattern,
                    "apply-to": target.apply_to,
                    "definition": dict(target.definition),
                    "priority": target.priority,
                }
                await self._call("PUT", f"policies/{self._vhost}/{_quote(target.name)}", body)
            case _:
                assert_never(target)

    async def _list(self, path: str) -> list[Any]:
        found = await self._call("GET", path)
        if not isinstance(found, list):
            raise TypeError(f"{path.partition('/')[0]} are no list")
        return found

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        assert self._session is not None  # noqa: S101 - used as a context manager
        url = URL(f"{self._access.url}/api/{path}", encoded=True)
        try:
            async with self._session.request(method, url, json=body) as response:
                if response.ok:
                    return await response.json() if method == "GET" else None
                raise TopologyError(f"{method} {url.path}: {response.status} {await _reason(response)}")
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as exc:
            raise TopologyError(f"management API at {self._access.url}: {exc or type(exc).__name__}") from exc


async def _reason(response: aiohttp.ClientResponse) -> str:
    """RabbitMQ says why in ``reason``; a proxy in between may say anything."""
    try:
        said = await response.json()
    except (aiohttp.ContentTypeError, ValueError):
        return str(response.reason)
    return str(said.get("reason", response.reason)) if isinstance(said, dict) else str(response.reason)


def _quote(name: str) -> str:
    return quote(name, safe="")


def _read_exchange(raw: Mapping[str, Any]) -> Exchange:
    return Exchange(name=raw["name"], type=raw["type"], arguments=_settings(raw["arguments"]), durable=raw["durable"])


def _read_queue(raw: Mapping[str, Any]) -> Queue:
    return Queue(name=raw["name"], arguments=_settings(raw["arguments"]), durable=raw["durable"])


def _read_binding(raw: Mapping[str, Any]) -> Binding:
    return Binding(exchange=raw["source"], queue=raw["destination"], routing_key=raw["routing_key"])


def _read_policy(raw: Mapping[str, Any]) -> Policy:
    return Policy(
        name=raw["name"],
        pattern=raw["pattern"],
        apply_to=raw["apply-to"],
        definition=_settings(raw["definition"]),
        priority=raw["priority"],
    )


def _settings(raw: Any) -> Mapping[str, Setting]:
    return dict(raw) if isinstance(raw, dict) else {}  # an empty table comes as an empty list
