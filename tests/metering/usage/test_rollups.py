"""Hourly sums, as they are added to."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import Organization
from metering.models import Meter, RequestRollup, UsageRollup
from metering.usage import histogram, rollups
from metering.usage.rollups import RequestSum
from superagent.foundation import tenancy

HOUR = datetime(2026, 5, 10, 12, tzinfo=UTC)


def test_an_hour_begins_at_its_full_hour() -> None:
    assert rollups.hour_of(HOUR + timedelta(minutes=59, seconds=59, microseconds=999_999)) == HOUR
    assert rollups.hour_of(HOUR) == HOUR


@pytest.mark.django_db
def test_usage_is_added_to_the_hour_of_its_meter_and_taken_from_it(organization: Organization) -> None:
    with tenancy.system("test"):
        meter = Meter.objects.get(slug="ai_tokens")
        key, later = (organization.pk, meter.pk, HOUR), (organization.pk, meter.pk, HOUR + rollups.HOUR)
        rollups.add_usage({key: (10, 2), later: (1, 1)})
        rollups.add_usage({key: (-4, -1)})
        rollups.add_usage({})
        rows = UsageRollup.objects.filter(organization=organization).order_by("hour")
        assert list(rows.values_list("hour", "quantity", "event_count")) == [
            (HOUR, 6, 1),
            (HOUR + rollups.HOUR, 1, 1),
        ]


@pytest.mark.django_db
def test_requests_of_one_hour_endpoint_and_status_are_one_row(organization: Organization) -> None:
    first, second = histogram.empty(), histogram.empty()
    first[0], second[0], second[-1] = 2, 1, 5
    key = (organization.pk, HOUR, "/api/v1/quotas", "GET", 200)
    with tenancy.system("test"):
        rollups.add_requests({key: RequestSum(2, 1, 300, 10, 20, first)})
        rollups.add_requests({key: RequestSum(6, 6, 700, 1, 2, second), (*key[:4], 404): RequestSum(1)})
        row = RequestRollup.objects.get(organization=organization, status=200)
        assert RequestRollup.objects.filter(organization=organization).count() == 2
    assert (row.count, row.counted, row.duration_us, row.request_bytes, row.response_bytes) == (
        8, 7, 1000, 11, 22,
    )  # fmt: skip
    assert (row.histogram[0], row.histogram[-1], sum(row.histogram)) == (3, 5, 8)
