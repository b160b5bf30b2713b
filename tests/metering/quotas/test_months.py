"""Months counted from an anchor: they follow each other without gap or overlap, whatever the day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from metering.quotas import months

moments = st.datetimes(datetime(2000, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))


def test_the_last_day_of_a_month_stays_the_last_day() -> None:
    anchor = datetime(2027, 1, 31, 12, tzinfo=UTC)
    found = [months.add(anchor, number) for number in range(4)]
    assert [(each.month, each.day) for each in found] == [(1, 31), (2, 28), (3, 31), (4, 30)]


@given(moments, moments)
def test_every_moment_is_in_one_month(anchor: datetime, moment: datetime) -> None:
    start, end = months.around(anchor, moment)
    assert start <= moment < end
    assert months.around(anchor, end)[0] == end
    assert timedelta(days=27) < end - start < timedelta(days=32)


@given(st.integers(-10, 50), st.integers(1, 40))
def test_a_share_is_exact_and_between_nothing_and_all(part: int, whole: int) -> None:
    share = months.share(timedelta(hours=part), timedelta(hours=whole))
    assert share == min(max(Fraction(part, whole), Fraction(0)), Fraction(1))
