"""Arithmetic on billing periods, and the card checks."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from superagent.sandbox.stripe import cards, moment
from superagent.sandbox.stripe.proration import share

TIMES = st.integers(min_value=1_500_000_000, max_value=2_200_000_000)
CYCLES = st.builds(
    lambda interval, count: {"interval": interval, "interval_count": count},
    st.sampled_from(["day", "week", "month", "year"]),
    st.integers(min_value=1, max_value=3),
)


@given(anchor=TIMES, at=TIMES, cycle=CYCLES)
def test_the_next_boundary_is_the_first_after_the_moment(anchor: int, at: int, cycle: dict[str, int]) -> None:
    found = moment.following(anchor, cycle, at)
    assert found > at
    steps = [
        moment.add(anchor, str(cycle["interval"]), n * cycle["interval_count"])
        for n in _near(anchor, at, cycle)
    ]
    assert found in steps
    assert not [step for step in steps if at < step < found]


def _near(anchor: int, at: int, cycle: dict[str, int]) -> range:
    days = {"day": 1, "week": 7, "month": 30.44, "year": 365.25}[str(cycle["interval"])] * cycle[
        "interval_count"
    ]
    middle = int((at - anchor) / (days * moment.DAY))
    return range(middle - 3, middle + 4)


def test_a_month_end_stays_the_month_end() -> None:
    anchor = int(datetime(2027, 1, 31, 12, tzinfo=UTC).timestamp())
    days = [datetime.fromtimestamp(moment.add(anchor, "month", n), UTC).day for n in range(1, 14)]
    assert days == [28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29]


@given(amount=st.integers(0, 10**7), left=st.integers(0, 10**7), whole=st.integers(1, 10**7))
def test_a_share_is_rounded_once(amount: int, left: int, whole: int) -> None:
    assert abs(share(amount, left, whole) * whole - amount * left) * 2 <= whole


def test_every_test_card_passes_its_own_check_digit() -> None:
    assert all(cards.luhn_holds(number) for number in cards.NUMBERS)
    assert not cards.luhn_holds("4242424242424241")
