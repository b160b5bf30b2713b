"""The time of an organization: its test clock's, else real time."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from django.utils import timezone

from superagent.foundation import clock

FROZEN = datetime(2030, 1, 31, 12, tzinfo=UTC)


def test_a_test_clock_decides_the_time_of_its_organization() -> None:
    assert clock.now(SimpleNamespace(test_clock_time=FROZEN)) == FROZEN


def test_without_a_test_clock_it_is_real_time() -> None:
    before = timezone.now()
    for organization in (None, SimpleNamespace(test_clock_time=None)):
        found = clock.now(organization)
        assert before <= found <= timezone.now() and found.utcoffset() == timedelta(0)
