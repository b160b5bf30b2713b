"""Networks: which callers a limit counts as one.

An IPv4 address is one network. An IPv6 subscriber gets at least a /64 and often a /48, and can call from any address in
it (RFC 6177), so a limit for each address would not limit IPv6 callers at all.
"""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple


class Networks(NamedTuple):
    """`narrow` is the smallest network of a subscriber, `wide` the largest; both are equal for IPv4."""

    narrow: str
    wide: str


def networks_of(address: str | None) -> Networks:
    """Returns the networks of `address`, as CIDR; "unknown" for both if it is not a valid address.

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
