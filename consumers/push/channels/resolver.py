"""Names of hosts that users chose, resolved to public addresses only: no request reaches into our own network.

The connection goes to the very addresses that were checked; a second look-up could give others.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

NAT64: Final = IPv6Network("64:ff9b::/96")
"""IPv4 addresses in IPv6 clothes, RFC 6052 section 2.1."""


class NotPublic(OSError):
    """A name stands for an address that the internet does not route."""


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
            raise NotPublic(f"{host} stands for an address that is not public")
        return found

    async def close(self) -> None:
        """Close the other one."""
        await self._resolver.close()


def is_public(address: str) -> bool:
    """Whether anybody may connect to ``address``; also asked of the IPv4 address that an IPv6 address wraps."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    inner = _wrapped(parsed)
    return parsed.is_global and not parsed.is_multicast if inner is None else is_public(str(inner))


def _wrapped(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
