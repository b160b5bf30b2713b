"""Durations as a histogram: no duration is lost, and percentiles are right to a bucket's width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metering.usage import histogram

durations = st.lists(st.integers(0, 60_000_000), min_size=1, max_size=80)


@given(st.integers(0, 10**9))
def test_each_duration_is_in_the_bucket_that_holds_it(duration_us: int) -> None:
    index = histogram.bucket(duration_us)
    assert index == 0 or histogram.BOUNDS_US[index - 1] < duration_us
    assert index == histogram.BUCKETS - 1 or duration_us <= histogram.BOUNDS_US[index]


@given(durations, st.sampled_from([50, 95, 99]))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(durations_us: list[int], percent: int) -> None:
    counts = histogram.empty()
    for each in durations_us:
        counts[histogram.bucket(each)] += 1
    true = sorted(durations_us)[max(0, -(-len(durations_us) * percent // 100) - 1)]
    index = histogram.bucket(true)
    found = histogram.percentile_us(counts, percent)
    assert found is not None
    assert found >= (histogram.BOUNDS_US[index - 1] if index else 0)
    if index < histogram.BUCKETS - 1:
        assert found <= histogram.BOUNDS_US[index]


def test_nothing_has_no_percentile() -> None:
    assert histogram.percentile_us(histogram.empty(), 95) is None
