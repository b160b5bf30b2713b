"""What is asked of single events reads those that it is about, on PostgreSQL 16 and 17 too: they have no skip scan."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Organization
from metering.models import Meter, UsageEvent
from metering.quotas import facts, periods
from tests.metering.conftest import give, terms

pytestmark = pytest.mark.usefixtures("system_scope")
MANY = 4_000


@pytest.fixture
def busy(organization: Organization) -> Organization:
    """Its events are spread over the last days of its only period."""
    give(organization, terms("ai_tokens", 100))
    now = timezone.now()
    period = periods.ensure(organization=organization, now=now)
    meter = Meter.objects.get(slug="ai_tokens")
    UsageEvent.objects.bulk_create(
        UsageEvent(
            organization=organization, source="test", event_id=str(number), meter=meter, period=period, quantity=1,
            occurred_at=now - timedelta(minutes=number), received_at=now, body_hash=b"",
        )
        for number in range(MANY)
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE metering_usageevent")
    return organization


def scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Scan" in node["Node Type"]:
        yield node
    for child in node.get("Plans", []):
        yield from scans(child)


def test_the_last_minutes_of_an_organization_are_found_by_their_time(busy: Organization) -> None:
    period = periods.ensure(organization=busy, now=timezone.now())
    since = timezone.now() - timedelta(minutes=10)
    asked = facts._events(period, (since, None)).order_by()
    [plan] = json.loads(asked.explain(format="json", analyze=True))
    [scan] = [each for each in scans(plan["Plan"]) if "Index Name" in each]
    assert (scan["Index Name"], scan["Index Searches"]) == ("usage_event_times", 1)
    assert scan["Actual Rows"] <= 20


def test_no_index_of_events_is_the_beginning_of_another() -> None:
    """Each event is written into all of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid::regclass::text, string_to_array(indkey::text, ' ') FROM pg_index"
            " JOIN pg_am am ON am.oid = (SELECT relam FROM pg_class WHERE oid = indexrelid) AND amname = 'btree'"
            " WHERE indrelid = 'metering_usageevent'::regclass AND NOT indisprimary"
        )
        columns = dict(cursor.fetchall())
    assert len(columns) == 4, columns
    for name, own in columns.items():
        others = [other for other_name, other in columns.items() if other_name != name]
        assert own not in [other[: len(own)] for other in others], name


def test_a_change_of_terms_sums_what_was_used_since_once(busy: Organization) -> None:
    """It holds the locks of the organization and of all quotas meanwhile."""
    give(busy, terms("ai_tokens", 100), terms("storage_mb_hours", 10), terms("api_requests", 10))
    with CaptureQueriesContext(connection) as captured:
        give(busy, terms("ai_tokens", 200), terms("storage_mb_hours", 20), terms("api_requests", 20))
    sums = [
        each["sql"] for each in captured if "SUM(" in each["sql"] and "metering_usageevent" in each["sql"]
    ]
    assert len(sums) == 1
