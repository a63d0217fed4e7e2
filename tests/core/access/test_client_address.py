from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.access.client_address import client_of

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "192.0.2.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "192.0.2.1, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "10.9.9.9", "10.9.9.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("fd00::1", "2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "", "2001:db8::/64"),
        ("::ffff:203.0.113.9", "", "203.0.113.9"),
        ("fe80::1%eth0", "", "fe80::/64"),
        (None, "198.51.100.7", "unknown"),
        ("10.0.0.1", "192.0.2.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1, _hidden", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1, _hidden, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "192.0.2.1, ", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1,, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "192.0.2.1, 198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "192.0.2.1, 198.51.100.7:4711, 10.0.0.2:80", "198.51.100.7"),
        ("10.0.0.1", "192.0.2.1, [2001:db8::1]:4711", "2001:db8::/64"),
        ("10.0.0.1", "192.0.2.1, [2001:db8::1]", "2001:db8::/64"),
        ("10.0.0.1", '192.0.2.1, "[2001:db8::1]:4711"', "2001:db8::/64"),
        ("10.0.0.1", "192.0.2.1, 198.51.100.7:", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1, 198.51.100.7:x", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1, [198.51.100.7]:80", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1, 2001:db8::1:", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1, 198.51.100.7\u0661", "10.0.0.1"),
    ],
)
def test_client_is_the_last_that_nobody_vouches_for(peer: str | None, forwarded: str, client: str) -> None:
    """Only a trusted proxy may say for whom it asks, and what the client itself wrote before counts for nothing."""
    assert client == client_of(peer, forwarded, PROXIES)


@given(st.text())
def test_nobody_else_is_believed(forwarded: str) -> None:
    """Whatever the header says, without a trusted proxy the peer is the client."""
    assert client_of("203.0.113.9", forwarded, []) == "203.0.113.9"
    assert client_of("10.0.0.1", f"{forwarded},198.51.100.7", PROXIES) == "198.51.100.7"
