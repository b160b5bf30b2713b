"""Networks: which callers a limit counts as one.

An IPv4 address is one network. An IPv6 subscriber gets a /64 at least and often a /48, and can call from any address
in it (RFC 6177), so a limit by single address would limit nobody who has IPv6.
"""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple


class Networks(NamedTuple):
    """`narrow` is what one subscriber has at least, `wide` what one may have: equal for IPv4."""

    narrow: str
    wide: str


def networks_of(address: str | None) -> Networks:
    """Return the networks of `address`, as CIDR; both are "unknown" where there is no valid address.

    An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is its IPv4 address.
    """
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return Networks(narrow="unknown", wide="unknown")
    if isinstance(parsed, IPv6Address):
        if not parsed.ipv4_mapped:
            plain = IPv6Address(int(parsed))  # without a zone (fe80::1%eth0), which ip_network refuses
            return Networks(narrow=_network(plain, 64), wide=_network(plain, 48))
        parsed = parsed.ipv4_mapped
    return Networks(narrow=f"{parsed}/32", wide=f"{parsed}/32")


def _network(address: IPv6Address, prefix_length: int) -> str:
    return str(ip_network((address, prefix_length), strict=False))
