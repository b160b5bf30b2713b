"""Which requests are kept, and what a moment is as an id."""

from datetime import UTC, datetime, timedelta

import pytest

from metering.usage import partitions
from superagent.foundation.identifiers import uuid7


@pytest.mark.parametrize(
    ("now", "kept_months", "since"),
    [
        (datetime(2026, 11, 22, 5, tzinfo=UTC), 13, datetime(2025, 10, 1, tzinfo=UTC)),
        (datetime(2026, 3, 31, 23, 59, tzinfo=UTC), 1, datetime(2026, 2, 1, tzinfo=UTC)),
        (datetime(2026, 1, 1, tzinfo=UTC), 0, datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_whole_months_are_kept(now: datetime, kept_months: int, since: datetime) -> None:
    assert partitions.kept_since(now=now, kept_months=kept_months) == since


def test_the_lowest_id_of_a_moment_divides_earlier_requests_from_later_ones() -> None:
    made = uuid7()
    moment = datetime.fromtimestamp((made.int >> 80) / 1000, UTC)
    assert partitions.lowest_id(moment) <= made < partitions.lowest_id(moment + timedelta(milliseconds=1))
