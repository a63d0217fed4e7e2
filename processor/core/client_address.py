"""Whose address a request comes from: the peer's, or what a proxy says that the operator trusts.

Source: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/X-Forwarded-For
"""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network
MAX_HOPS: Final = 10
"""Proxies, one behind the other."""
_SITE_BITS: Final = 64
"""What one customer of an internet provider has, at least, of IPv6."""


def client_of(peer: str | None, forwarded: str, trusted: Collection[Network]) -> str:
    """Under which name to count a client. ``forwarded``: the values of ``X-Forwarded-For``, as they came.

    From the last on, since whoever comes before wrote what they liked. An IPv6 client is counted by its /64, of which
    it may use every address.
    """
    client = _address(peer or "")
    for said in reversed(forwarded.rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
        if client is None or not any(client in network for network in trusted):
            break
        client = _address(said.strip()) or client
    return "unknown" if client is None else _site(client)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _site(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, _SITE_BITS), strict=False))
