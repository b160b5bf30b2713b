"""What the overview of usage tells of each quota."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import Organization
from metering.analytics import overview
from metering.models import Meter, UsagePeriod
from metering.quotas.quota_status import QuotaStatus
from superagent.foundation import tenancy
from tests.metering.analytics.test_ranges import report
from tests.metering.conftest import give, terms
from tests.metering.test_pages import signed_in


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("days", "included", "used"),
    [(4, 1_000_000, 1), (14, 1_000_000, 4), (15, 20_000_000, 99), (29, 10**15, 1)],
)
def test_a_little_use_of_a_large_allowance_breaks_no_page(
    organization: Organization, days: int, included: int, used: int
) -> None:
    """At this pace the limit is reached after the year 9999 (metering A1)."""
    with tenancy.system("test"):
        Organization.objects.filter(pk=organization.pk).update(
            created_at=timezone.now() - timedelta(days=days)
        )
        organization.refresh_from_db()
    give(organization, terms("ai_tokens", included, rate="1"))
    with tenancy.tenant(organization):
        report(organization, "little", used, at=timezone.now(), now=timezone.now())
    client = signed_in(organization)
    for path in ("/dashboard/", "/usage/"):
        page = client.get(path)
        assert page.status_code == 200
        assert b"At this pace" not in page.content


def test_a_pace_is_told_to_the_day_it_reaches_the_limit() -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    period = UsagePeriod(start=start, end=start + timedelta(days=31))
    view = QuotaStatus(Meter(), 1000, 500, False, period.end, 0, 0, Decimal(0), "usd")
    assert "May 21, 2026" in overview.forecast(view, period, start + timedelta(days=10))
    assert overview.forecast(view, period, start + timedelta(days=15, hours=12)) == ""  # at the very end
