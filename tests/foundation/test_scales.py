"""Scales of charts: round ticks that reach the highest value, and few enough series."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superagent.foundation.charts import scales
from superagent.foundation.charts.figures import Series


@pytest.mark.parametrize(
    ("highest", "top"), [(0, "4"), (3, "4"), (9, "12"), (100, "100"), (101, "120"), (5_999, "6000")]
)
def test_ticks_of_whole_numbers_are_round(highest: int, top: str) -> None:
    assert scales.nice_ticks(highest)[-1] == Decimal(top)


@given(st.decimals(min_value=0, max_value=10**12, places=4), st.booleans())
def test_ticks_begin_at_zero_rise_evenly_and_reach_the_highest_value(
    highest: Decimal, is_whole: bool
) -> None:
    ticks = scales.nice_ticks(highest, is_whole=is_whole)
    steps = {later - earlier for earlier, later in pairwise(ticks)}
    assert ticks[0] == 0 and len(ticks) == scales.GRID_LINES + 1 and len(steps) == 1
    assert ticks[-1] >= highest
    assert not is_whole or all(tick == int(tick) for tick in ticks)


def test_the_largest_series_stay_and_the_others_are_added_up() -> None:
    series = [Series(f"meter {number}", (number, number)) for number in range(1, 9)]
    shown = scales.leading(series)
    assert [entry.values for entry in shown] == [(4, 4), (5, 5), (6, 6), (7, 7), (8, 8), (6, 6)]
    assert shown[-1].is_rest and scales.leading(series[:6]) == series[:6]
