"""The address of the client of a request: the peer's, or the one that a trusted proxy names.

Source: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/X-Forwarded-For; how a hop may be written:
https://www.rfc-editor.org/rfc/rfc7239#section-6
"""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

IpNetwork = IPv4Network | IPv6Network
MAX_HOPS: Final = 10
"""Proxies in a row."""
_HOP: Final = re.compile(r"(?:\[(?P<v6>[^\[\]]*:[^\[\]]*)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?", re.ASCII)
_SITE_BITS: Final = 64
"""The prefix of IPv6 addresses that one customer of an internet provider has, at least."""


def client_of(peer: str | None, forwarded: str, trusted: Collection[IpNetwork]) -> str:
    """The name under which to count a client. ``forwarded`` are the values of ``X-Forwarded-For``, as they came.

    Hops are read from the last one back, as long as a trusted proxy vouches for them: a client can write any hop before
    its own. A hop that cannot be read ends the search. An IPv6 client is counted by its /64, of which it may use every
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
    """The address of a hop, which may have a port; None for ``unknown`` and other texts."""
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
