"""Whose address a request comes from: the peer's, or what a proxy says that the operator trusts.

Source: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/X-Forwarded-For; how a hop may be written:
https://www.rfc-editor.org/rfc/rfc7239#section-6
"""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Network = IPv4Network | IPv6Network
MAX_HOPS: Final = 10
"""Proxies, one behind the other."""
_HOP: Final = re.compile(r"(?:\[(?P<v6>[^\[\]]*:[^\[\]]*)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?", re.ASCII)
_SITE_BITS: Final = 64
"""What one customer of an internet provider has, at least, of IPv6."""


def client_of(peer: str | None, forwarded: str, trusted: Collection[Network]) -> str:
    """Under which name to count a client. ``forwarded``: the values of ``X-Forwarded-For``, as they came.

    From the last on, since whoever comes before wrote what they liked. A hop that cannot be read ends the walk: what
    stands before it, nobody who is trusted vouches for. An IPv6 client is counted by its /64, of which it may use every
    address.
    """
    client = _address(peer or "")
    hops = forwarded.rsplit(",", MAX_HOPS)[-MAX_HOPS:] if forwarded else []
    for hop in reversed(hops):
        if client is None or not any(client in network for network in trusted):
            break
        named = _hop(hop.strip())
        if named is None:
            break
        client = named
    return "unknown" if client is None else _site(client)


def _hop(text: str) -> IPv4Address | IPv6Address | None:
    """An address, perhaps with a port; None for ``unknown`` and whatever else hides one."""
    bare = text.strip('"')
    written = _HOP.fullmatch(bare)
    return _address(bare if written is None else written["v6"] or written["v4"])


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
