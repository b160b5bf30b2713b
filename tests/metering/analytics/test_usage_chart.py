"""The charts of use: days of one's own in one's own zone, a legend that switches, ways to the hours, files, cost."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, Organization
from metering.analytics import overview, ranges, usage_chart
from metering.models import RequestRecord, UsagePeriod
from metering.quotas import periods, quota_status
from metering.usage import reconciliation
from metering.usage.rollups import HOUR, hour_of
from superagent.foundation import tenancy
from tests.metering.analytics.test_ranges import report
from tests.metering.conftest import give, terms
from tests.metering.test_pages import signed_in

pytestmark = pytest.mark.django_db(transaction=True)
VIENNA, KOLKATA = ZoneInfo("Europe/Vienna"), ZoneInfo("Asia/Kolkata")
NOW = datetime(2026, 5, 20, 10, 15, tzinfo=UTC)


def called(organization: Organization, at: datetime, *, method: str = "GET", status: int = 200) -> None:
    with tenancy.system("test"):
        RequestRecord.objects.create(
            organization=organization, request_id=uuid4().hex, method=method, endpoint="/api/v1/usage/stats",
            path="/api/v1/usage/stats", status=status, duration_us=1000, request_bytes=0, response_bytes=2,
            is_counted=True, started_at=at,
        )  # fmt: skip
        reconciliation.reconcile_requests(start=hour_of(at), end=hour_of(at) + HOUR)
        reconciliation.reconcile_usage(start=hour_of(at), end=hour_of(at) + HOUR)


def drawn(
    organization: Organization, first: date, last: date, zone: ZoneInfo, group: str = "endpoint"
) -> list[list[object]]:
    shown = ranges.own(first=first, last=last, now=NOW, zone=zone)
    with tenancy.tenant(organization):
        return usage_chart.figures(organization, shown, NOW, group=group).file_rows()


def with_zone(client: Client, organization: Organization, zone: str) -> Client:
    with tenancy.system("test"):
        user = Membership.objects.get(organization=organization).user
        user.time_zone = zone
        user.save()
    return client


def test_days_begin_at_midnight_of_the_reader(organization: Organization) -> None:
    """22:30 UTC on 10 May is 11 May in Vienna."""
    called(organization, datetime(2026, 5, 10, 21, 30, tzinfo=UTC))
    called(organization, datetime(2026, 5, 10, 22, 30, tzinfo=UTC))
    days = (date(2026, 5, 9), date(2026, 5, 12))
    in_utc = [row[1] for row in drawn(organization, *days, ZoneInfo("UTC"))[1:]]
    in_vienna = drawn(organization, *days, VIENNA)
    assert in_utc == [0, 2, 0, 0]
    assert [row[1] for row in in_vienna[1:]] == [0, 1, 1, 0]
    assert in_vienna[1][0] == "2026-05-09T00:00:00+02:00"


def test_days_of_a_change_to_summer_time_have_23_hours() -> None:
    shown = ranges.own(first=date(2026, 3, 29), last=date(2026, 3, 29), now=NOW, zone=VIENNA)
    assert shown.is_hourly
    assert len(shown.starts) == 23
    days = ranges.own(first=date(2026, 3, 28), last=date(2026, 3, 31), now=NOW, zone=VIENNA)
    assert [str(start.astimezone(VIENNA).time()) for start in days.starts] == ["00:00:00"] * 4


def test_half_an_hour_at_the_ends_is_exact_and_between_days_it_is_told(organization: Organization) -> None:
    """In Kolkata a day begins at 18:30 UTC: within an hour that is kept as one."""
    called(organization, datetime(2026, 5, 10, 18, 15, tzinfo=UTC))  # 23:45 on 10 May
    called(organization, datetime(2026, 5, 10, 18, 45, tzinfo=UTC))  # 0:15 on 11 May
    begins_there = drawn(organization, date(2026, 5, 11), date(2026, 5, 13), KOLKATA)
    ends_there = drawn(organization, date(2026, 5, 8), date(2026, 5, 10), KOLKATA)
    assert sum(row[1] for row in begins_there[1:]) == 1
    assert sum(row[1] for row in ends_there[1:]) == 1
    shown = ranges.own(first=date(2026, 5, 8), last=date(2026, 5, 12), now=NOW, zone=KOLKATA)
    assert "in the day in which it began" in shown.note
    assert sum(row[1] for row in drawn(organization, date(2026, 5, 8), date(2026, 5, 12), KOLKATA)[1:]) == 2


def test_calls_are_grouped_by_what_the_hourly_sums_know(organization: Organization) -> None:
    at = datetime(2026, 5, 10, 12, 30, tzinfo=UTC)
    called(organization, at, method="POST", status=404)
    called(organization, at)
    called(organization, at)
    days = (date(2026, 5, 9), date(2026, 5, 12))
    assert drawn(organization, *days, ZoneInfo("UTC"), "status")[0] == ["start", "2xx success", "4xx refused"]
    by_method = drawn(organization, *days, ZoneInfo("UTC"), "method")
    assert by_method[0] == ["start", "GET", "POST"]  # the largest first, so that it has the first color
    assert by_method[2][1:] == [2, 1]


@pytest.mark.parametrize("days", ["range=7d", "start=2026-05-01&end=2026-05-01"])
def test_the_chart_says_what_it_shows_not_its_last_day(organization: Organization, days: str) -> None:
    called(organization, datetime(2026, 5, 1, 12, tzinfo=UTC))
    called(organization, timezone.now() - timedelta(days=2))
    page = signed_in(organization).get(f"/usage/?{days}&group=method").content.decode()
    assert 'data-chart-image="Calls by method"' in page


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("start=2026-05-01", "This field is required"),
        ("start=soon&end=2026-05-02", "Enter a valid date"),
        ("start=2026-05-02&end=2026-05-01", "not before the first"),
        ("start=2024-01-01&end=2026-05-01", "at most 400 days"),
        ("start=0001-01-01&end=0001-01-02", "from Jan 1, 2020 on"),
        ("start=2026-05-01&end=9999-12-31", "a day up to today"),
    ],
)
def test_days_that_cannot_be_are_refused_at_their_field(
    organization: Organization, query: str, told: str
) -> None:
    client = signed_in(organization)
    page = client.get(f"/usage/?{query}")
    assert page.status_code == 200
    assert told in page.content.decode()
    for path in ("/usage/export.csv", "/usage/chart.csv"):
        answer = client.get(f"{path}?{query}&meter=ai_tokens")
        assert (answer.status_code, answer["Location"]) == (302, f"/usage/?{query}&meter=ai_tokens")


def test_the_page_shows_the_days_asked_for_in_the_zone_of_the_profile(organization: Organization) -> None:
    client = with_zone(signed_in(organization), organization, "Pacific/Auckland")
    today = timezone.now().astimezone(ZoneInfo("Pacific/Auckland")).date()
    called(organization, timezone.now() - timedelta(minutes=5))
    page = client.get(f"/usage/?start={today}&end={today}").content.decode()
    assert "Pacific/Auckland" in page
    assert f'value="{today}"' in page
    week_ago = today - timedelta(days=6)
    page = client.get(f"/usage/?start={week_ago}&end={today}&group=status").content.decode()
    hours_of_today = f"/usage/?group=status&amp;start={today}&amp;end={today}"
    assert hours_of_today in page


def words(client: Client, address: str) -> str:
    """The page with single spaces, wherever its template breaks a line."""
    return " ".join(client.get(address).content.decode().split())


def test_an_entry_of_the_legend_is_switched_off_and_on_without_scripts(organization: Organization) -> None:
    at = timezone.now() - timedelta(days=2)
    called(organization, at, method="POST")
    called(organization, at)
    called(organization, at)
    client = signed_in(organization)
    both = words(client, "/usage/?range=7d&group=method")
    assert 'name="hide" value="GET" aria-pressed="true"' in both
    without = words(client, "/usage/?range=7d&group=method&hide=GET")
    assert 'name="show" value="GET" aria-pressed="false"' in without
    assert 'type="hidden" name="hide" value="GET"' in without
    assert 'class="chart-bar series-1"' not in without
    assert 'class="chart-bar series-2"' in without  # it keeps its color
    again = words(client, "/usage/?range=7d&group=method&hide=GET&show=GET")
    assert 'name="hide" value="GET" aria-pressed="true"' in again
    assert 'type="hidden" name="hide"' not in again
    dashboard = words(client, "/dashboard/?hide=GET+/api/v1/usage/stats")
    assert 'name="show" value="GET /api/v1/usage/stats" aria-pressed="false"' in dashboard
    everything_off = client.get("/usage/?range=7d&group=method&hide=GET&hide=POST")
    assert everything_off.status_code == 200


def test_the_file_of_the_chart_has_what_the_chart_shows(organization: Organization) -> None:
    at = timezone.now() - timedelta(days=2)
    called(organization, at, method="POST")
    called(organization, at)
    client = signed_in(organization)
    answer = client.get("/usage/chart.csv?range=7d&group=method&hide=GET")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="calls-by-method-')
    rows = list(csv.reader(answer.content.decode().splitlines()))
    assert rows[0] == ["start", "POST"]
    assert [row[1] for row in rows[1:]] == ["0", "0", "0", "0", "1", "0", "0"]


def test_another_organization_s_use_is_in_no_chart_and_no_file(
    organization: Organization, other_organization: Organization
) -> None:
    called(other_organization, timezone.now() - timedelta(days=2), method="DELETE")
    client = signed_in(organization)
    for path in ("/usage/", "/usage/chart.csv", "/usage/export.csv"):
        assert "DELETE" not in client.get(f"{path}?range=7d&group=method").content.decode(), path


def test_cost_is_told_of_usage_periods_to_those_who_may_read_billing(organization: Organization) -> None:
    give(organization, terms("ai_tokens", 50, rate="1"))
    now = timezone.now()
    with tenancy.tenant(organization):
        report(organization, "much", 1284, at=now, now=now)
    owner, viewer = signed_in(organization, "owner"), signed_in(organization, "viewer")
    assert "$12.34" in owner.get("/usage/").content.decode()
    assert "Cost</th>" not in viewer.get("/usage/").content.decode()
    assert "Cost</th>" not in owner.get("/usage/?range=7d").content.decode()


def test_cost_of_a_former_period_is_what_it_was_rated_at(organization: Organization) -> None:
    turn = datetime(2026, 5, 10, 12, 30, tzinfo=UTC)
    give(organization, terms("ai_tokens", 100, rate="2"), now=turn - timedelta(days=3))
    with tenancy.system("test"):
        report(organization, "before", 150, at=turn - timedelta(days=1), now=turn)
        periods.begin(organization=organization, start=turn, now=turn)
        report(organization, "after", 1, at=turn + timedelta(minutes=1), now=turn + HOUR)
        shown = ranges.choose(ranges.Periods(organization, turn + HOUR), "previous")
        present = quota_status.overview(organization, turn + HOUR)
        costs = {row.meter.slug: row.cost for row in overview.meter_rows(organization, shown, present)}
        assert UsagePeriod.objects.visible_to(organization).count() == 2
    assert costs["ai_tokens"] is not None
    assert costs["ai_tokens"].amount == 100
