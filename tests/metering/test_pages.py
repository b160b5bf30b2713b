from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.hashers import make_password
from django.test import Client
from django.utils import timezone

from accounts import rights_guard
from accounts.models import Membership, Organization, User
from metering.analytics import overview, ranges, request_log, usage_chart
from metering.models import Meter, RequestRecord, UsagePeriod
from metering.quotas import periods, quota_status
from metering.quotas.quota_status import QuotaStatus
from metering.request_path import shipping
from metering.usage import ingest
from metering.usage.events import EventIn
from superagent.foundation import tenancy
from tests.fixtures.staff import staff_client
from tests.metering.conftest import Api, give, new_key, terms


def signed_in(organization: Organization, role: str = "viewer", **fields: object) -> Client:
    with rights_guard.opened():
        user = User.objects.create(
            email=f"{role}-{organization.pk}@example.com",
            full_name="Ada",
            password=make_password("a horse on a mountain"),
            default_organization=organization,
            **fields,
        )
    with tenancy.system("test"):
        Membership.objects.create(organization=organization, user=user, role=role)
        if user.is_staff:
            return staff_client(user)
        client = Client()
        client.force_login(user, backend="accounts.backends.Backend")
    return client


@pytest.mark.django_db(transaction=True)
def test_usage_shows_totals_charts_and_quotas(organization: Organization, api: Api) -> None:
    give(organization, terms("api_requests", 1000, hard=True), terms("ai_tokens", 50, rate="1"))
    for _ in range(3):
        api.get("usage/meters")
    api.post("usage/events", {"event_id": "e", "meter": "ai_tokens", "quantity": 1234})
    shipping.ship_all()
    client = signed_in(organization)
    for key in ("current", "previous", "7d", "30d", "90d", "nonsense"):
        assert client.get(f"/usage/?range={key}").status_code == 200
    page = client.get("/usage/?meter=ai_tokens").content.decode()
    assert "1,234" in page
    assert "api/v1/usage/meters" in page
    export = client.get("/usage/export.csv?range=7d").content.decode().splitlines()
    assert export[0] == "start,dimension,name,quantity"
    assert any(line.endswith("meter,ai_tokens,1234") for line in export)
    assert any("GET /api/v1/usage/meters,3" in line for line in export)


@pytest.mark.parametrize("meter", ["a%0d%0aSet-Cookie:b=c", "a%22b", "nothing"])
@pytest.mark.django_db(transaction=True)
def test_the_file_of_a_chart_is_named_after_what_it_shows_not_after_the_address(
    organization: Organization, meter: str
) -> None:
    answer = signed_in(organization).get(f"/usage/chart.csv?meter={meter}&start=2026-01-01&end=2026-01-02")
    expected = 'attachment; filename="calls-by-endpoint-2026-01-01-2026-01-02.csv"'
    assert (answer.status_code, answer.headers["Content-Disposition"]) == (200, expected)


@pytest.mark.django_db(transaction=True)
def test_an_empty_organization_has_a_helpful_page(organization: Organization) -> None:
    client = signed_in(organization)
    assert "Nothing was used in this time" in client.get("/usage/").content.decode()
    assert "No requests in this time" in client.get("/requests/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_request_log_filters_and_leads_to_the_request(organization: Organization, api: Api) -> None:
    give(organization, terms("api_requests", None))
    api.get("usage/meters")
    api.post("quotas/check", {"meter": "nothing"})
    shipping.ship_all()
    client = signed_in(organization)
    everything = client.get("/requests/").content.decode()
    assert "usage/meters" in everything
    assert "quotas/check" in everything
    failed = client.get("/requests/?status=4xx").content.decode()
    assert "usage/meters" not in failed.split("<tbody>")[1]
    assert "No request matches" in client.get("/requests/?method=DELETE").content.decode()
    with tenancy.system("test"):
        record = RequestRecord.objects.get(method="POST")
    detail = client.get(f"/requests/{record.pk}/").content.decode()
    assert record.request_id in detail
    assert "YOUR_API_KEY" in detail
    assert "/api/v1/quotas/check" in detail


@pytest.mark.parametrize(
    ("method", "sent", "command"),
    [
        ("GET", 0, "curl 'http"),
        ("GET", 20, "curl -X GET 'http"),  # curl alone would make a POST of it
        ("POST", 20, "curl -X POST 'http"),
        ("DELETE", 0, "curl -X DELETE 'http"),
        ("HEAD", 0, "curl --head 'http"),
    ],
)
def test_the_command_to_try_again_has_the_method_of_the_call(method: str, sent: int, command: str) -> None:
    told = request_log.curl(RequestRecord(method=method, path="/api/v1/quotas", request_bytes=sent))
    assert told.startswith(command)
    assert ("-d '{ }'" in told) == bool(sent)


@pytest.mark.django_db(transaction=True)
def test_another_organization_s_requests_are_not_found(
    organization: Organization, other_organization: Organization
) -> None:
    new_key(other_organization).get("usage/meters")
    shipping.ship_all()
    with tenancy.system("test"):
        record = RequestRecord.objects.get()
    client = signed_in(organization)
    assert client.get(f"/requests/{record.pk}/").status_code == 404
    assert (
        "usage/meters" not in client.get("/requests/").content.decode().split("<main")[1].split("</main")[0]
    )
    mine = new_key(organization)
    assert mine.get("usage/requests").json()["data"] == []
    assert new_key(other_organization).get("usage/requests").json()["data"][0]["id"] == str(record.pk)


@pytest.mark.django_db(transaction=True)
def test_staff_see_every_table(organization: Organization, api: Api) -> None:
    give(organization, terms("api_requests", 1000))
    api.post("usage/events", {"event_id": "e", "meter": "ai_tokens"})
    shipping.ship_all()
    client = signed_in(organization, "owner", is_staff=True, is_superuser=True)
    names = ["meter", "allowance", "quota", "usageperiod", "usageevent", "requestrecord"]
    names += ["usagerollup", "requestrollup", "quotaalert"]
    for name in names:
        answer = client.get(f"/admin/metering/{name}/")
        assert answer.status_code == 200, name
        if name != "meter":
            assert client.get(f"/admin/metering/{name}/add/").status_code == 403
    with tenancy.system("test"):
        record = RequestRecord.objects.get()
    assert client.get(f"/admin/metering/requestrecord/{record.pk}/change/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_statistics_and_series_of_the_api(organization: Organization, api: Api) -> None:
    give(organization, terms("api_requests", 1000))
    for _ in range(4):
        api.get("usage/meters")
    api.post("quotas/check", {})
    api.post("usage/events", {"event_id": "e", "meter": "ai_tokens", "quantity": 7})
    shipping.ship_all()
    body = api.get("usage/stats").json()
    assert (body["total_calls"], body["successful_calls"], body["failed_calls"]) == (6, 5, 1)
    assert body["success_rate"] == pytest.approx(5 / 6, abs=1e-6)
    assert body["p50_ms"] > 0
    assert body["p95_ms"] >= body["p50_ms"]
    top = body["by_endpoint"][0]
    assert (top["endpoint"], top["method"], top["calls"], top["failed_calls"]) == (
        "/api/v1/usage/meters",
        "GET",
        4,
        0,
    )
    assert body["meters"] == [
        {"meter": "ai_tokens", "quantity": 7},
        {"meter": "api_requests", "quantity": 5},  # quotas/check does not count
    ]
    series = api.get("usage/series", interval="hour", by="endpoint").json()["data"]
    assert sum(point["quantity"] for point in series) == 6
    since = (timezone.now() - timedelta(days=1)).isoformat()
    assert api.get("usage/stats", start=since, end=since).json()["total_calls"] == 0
    refused = api.get("usage/stats", start="2026-05-02T00:00:00Z", end="2026-05-01T00:00:00Z")
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["pointer"] == "/start"
    assert api.get("usage/stats", start="soon").status_code == 400
    assert api.get("usage/series", by="color").status_code == 400


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


def report(organization: Organization, event_id: str, quantity: int, *, at: datetime, now: datetime) -> None:
    event = EventIn(event_id=event_id, meter="ai_tokens", quantity=quantity, occurred_at=at)
    outcome = ingest.record(organization=organization, events=[event], principal=None, now=now)
    assert outcome.accepted == 1
