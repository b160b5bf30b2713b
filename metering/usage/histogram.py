"""Durations as a histogram: 60 buckets, each a quarter wider than the last, so that percentiles of any sum of hours are
known to a few percent."""

from bisect import bisect_left
from collections.abc import Sequence

FIRST_US = 100
GROWTH = 1.25
BUCKETS = 60
BOUNDS_US: tuple[int, ...] = tuple(round(FIRST_US * GROWTH**n) for n in range(BUCKETS - 1))
"""Upper bounds, inclusive, of all buckets but the last, which is open: 0.1 ms to 41 s."""


def bucket(duration_us: int) -> int:
    return bisect_left(BOUNDS_US, duration_us)


def empty() -> list[int]:
    return [0] * BUCKETS


def percentile_us(histogram: Sequence[int], percent: int) -> int | None:
    """The duration that `percent` of the requests did not exceed, interpolated within its bucket; None for none."""
    total = sum(histogram)
    if not total:
        return None
    rank = total * percent / 100
    before = 0
    for index, count in enumerate(histogram):
        if count and before + count >= rank:
            low = BOUNDS_US[index - 1] if index else 0
            high = BOUNDS_US[index] if index < len(BOUNDS_US) else round(low * GROWTH)
            return round(low + (high - low) * max(0.0, rank - before) / count)
        before += count
    return BOUNDS_US[-1]
