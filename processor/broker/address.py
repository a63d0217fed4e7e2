"""Brokers' addresses: ``amqp`` and ``amqps`` URLs, parsed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

_PORTS: Final = {"amqp": 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One broker, one virtual host, one user."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    vhost: str
    tls: bool

    def __str__(self) -> str:
        """The URL without the password, for logs."""
        scheme = "amqps" if self.tls else "amqp"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{self.user}:***@{host}:{self.port}/{self.vhost.removeprefix('/')}"


def parse_addresses(urls: str | Sequence[str]) -> tuple[Address, ...]:
    """The brokers in ``urls``, a list or a text with commas. Raises `ValueError` without any password."""
    parts = urls.split(",") if isinstance(urls, str) else urls
    addresses = tuple(_parse(part.strip()) for part in parts if part.strip())
    if not addresses:
        raise ValueError("no broker URL given")
    return addresses


def host_and_port(url: str) -> str:
    """``host:port`` of the broker at ``url``, without credentials. Raises `ValueError`."""
    address = _parse(url)
    return f"{address.host}:{address.port}"


def _parse(url: str) -> Address:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("broker URL cannot be read; percent-encode the special characters of its password") from None
    if parts.scheme not in _PORTS:
        raise ValueError("broker URL must start with amqp:// or amqps://")
    if not host:
        raise ValueError("broker URL names no host")
    return Address(
        host=host,
        port=port or _PORTS[parts.scheme],
        user=_or_guest(parts.username),
        password=_or_guest(parts.password),
        vhost=unquote(parts.path.removeprefix("/")) or "/",
        tls=parts.scheme == "amqps",
    )


def _or_guest(text: str | None) -> str:
    return "guest" if text is None else unquote(text)
