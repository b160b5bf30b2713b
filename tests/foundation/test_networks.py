"""Which callers a limit counts as one."""

import pytest

from superagent.foundation.networks import networks_of


@pytest.mark.parametrize(
    ("address", "narrow", "wide"),
    [
        ("192.0.2.1", "192.0.2.1/32", "192.0.2.1/32"),
        ("::ffff:192.0.2.1", "192.0.2.1/32", "192.0.2.1/32"),
        ("2001:db8:1:2::3", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("2001:DB8:1:2:ffff::", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/48"),
        ("", "unknown", "unknown"),
        ("not an address", "unknown", "unknown"),
        (None, "unknown", "unknown"),
    ],
)
def test_networks_of_an_address(address: str | None, narrow: str, wide: str) -> None:
    assert networks_of(address) == (narrow, wide)


def test_seventy_addresses_of_one_64_are_one_network() -> None:
    assert {networks_of(f"2001:db8:1:2::{n:x}").narrow for n in range(70)} == {"2001:db8:1:2::/64"}


def test_many_64_of_one_48_are_one_wide_network() -> None:
    assert {networks_of(f"2001:db8:1:{n:x}::1").wide for n in range(70)} == {"2001:db8:1::/48"}
