from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superagent.foundation import money
from superagent.foundation.money import Money

AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9)


def test_major_units_keeps_two_places_and_sub_cent_digits():
    assert money.major_units(2340, "usd") == Decimal("23.40")
    assert str(money.major_units(2340, "usd")) == "23.40"
    assert str(money.major_units(5, "usd")) == "0.05"
    assert str(money.major_units(Decimal("0.05"), "usd")) == "0.0005"
    assert str(money.major_units(500, "jpy")) == "500"


def test_adding_refuses_another_currency():
    assert Money(100, "usd") + Money(23, "usd") == Money(123, "usd")
    with pytest.raises(money.CurrencyMismatch):
        Money(1, "usd") + Money(1, "eur")


@given(AMOUNTS)
def test_rounding_down_stays_within_one_minor_unit(amount):
    assert amount - 1 < money.round_down(amount) <= amount
