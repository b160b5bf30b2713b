"""The time that a page of figures shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import Organization
from metering.analytics import overview, ranges, usage_chart
from metering.quotas import periods, quota_status
from metering.usage import ingest
from metering.usage.events import EventIn
from superagent.foundation import tenancy
from tests.metering.conftest import give, terms


@pytest.mark.django_db(transaction=True)
def test_a_period_is_shown_exactly_though_it_began_within_an_hour(organization: Organization) -> None:
    """Half of an hour belongs to the free period, the other half to the next one: no figure mixes them."""
    turn = datetime(2026, 5, 10, 12, 30, tzinfo=UTC)
    now = turn + timedelta(minutes=20)
    give(organization, terms("api_requests", 1000), terms("ai_tokens", 500), now=turn - timedelta(days=3))
    with tenancy.system("test"):
        report(organization, "first", 7, at=turn - timedelta(days=2), now=now)
        report(organization, "before", 100, at=turn - timedelta(minutes=10), now=now)
        periods.begin(organization=organization, start=turn, now=turn)
        report(organization, "after", 5, at=turn + timedelta(minutes=10), now=now)
        current, previous = (
            ranges.choose(ranges.Periods(organization, now), key) for key in ("current", "previous")
        )
        figures = {
            shown.key: next(
                (row.quantity, row.before)
                for row in overview.meter_rows(organization, shown, quota_status.overview(organization, now))
                if row.meter.slug == "ai_tokens"
            )
            for shown in (current, previous)
        }
        drawn = {
            shown.key: figures.draw().table.totals[0]
            for shown in (current, previous)
            for figures in [usage_chart.figures(organization, shown, now, meter_slug="ai_tokens")]
        }
    assert figures == {"current": (5, 107), "previous": (107, 0)}
    assert drawn == {"current": "5", "previous": "107"}
    assert "12:30" in current.note


def report(organization: Organization, event_id: str, quantity: int, *, at: datetime, now: datetime) -> None:
    event = EventIn(event_id=event_id, meter="ai_tokens", quantity=quantity, occurred_at=at)
    outcome = ingest.record(organization=organization, events=[event], principal=None, now=now)
    assert outcome.accepted == 1
