"""Resolves host names that users chose to public addresses only: no request reaches the operator's own network.

The connection goes to the addresses that were checked; a second look-up could give others.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

NAT64: Final = IPv6Network("64:ff9b::/96")
"""IPv4 addresses embedded in IPv6 addresses, RFC 6052 section 2.1."""


class NotPublic(OSError):
    """A host name resolves to an address that is not public."""


class PublicResolver(AbstractResolver):
    """Resolves by another resolver, and raises `NotPublic` if any address it finds is not public."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The public addresses of ``host``."""
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(result["host"]) for result in found):
            raise NotPublic(f"{host} resolves to an address that is not public")
        return found

    async def close(self) -> None:
        """Close the wrapped resolver."""
        await self._resolver.close()


def is_public(address: str) -> bool:
    """Whether ``address`` is public, and so is the IPv4 address that is embedded in it, if one is."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    inner = _unwrap(parsed)
    return parsed.is_global and not parsed.is_multicast if inner is None else is_public(str(inner))


def _unwrap(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
