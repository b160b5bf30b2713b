"""The dashboard: what its figures compare with and lead to, what follows the calls live, and how to make the first."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts import audit, organizations
from accounts.models import Organization, User
from billing.catalog import seed
from metering.models import RequestRecord, UsagePeriod
from metering.usage import reconciliation
from metering.usage.rollups import HOUR, hour_of
from superagent.foundation import tenancy
from superagent.portal import dashboard
from tests.accounts.conftest import founded, page_of, person

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def owner(db: None) -> User:
    with tenancy.system("test"):
        seed.write()
    return person("olga@acme.example")


@pytest.fixture
def acme(owner: User) -> Organization:
    return founded("Acme", owner)


def call(organization: Organization, at: datetime, status: int = 200) -> None:
    """A request that was answered then, in the log and in the hourly sums."""
    with tenancy.system("test"):
        RequestRecord.objects.create(
            organization=organization, request_id=uuid4().hex, method="GET", endpoint="/api/v1/usage/stats",
            path="/api/v1/usage/stats", status=status, duration_us=1000, request_bytes=0, response_bytes=2,
            is_counted=True, started_at=at,
        )  # fmt: skip
        hour = hour_of(at)
        reconciliation.reconcile_requests(start=hour, end=hour + HOUR)
        reconciliation.reconcile_usage(start=hour, end=hour + HOUR)


def figures(organization: Organization, owner: User, now: datetime) -> dict[str, dashboard.Metric]:
    with tenancy.tenant(organization):
        membership = owner.memberships.select_related("organization", "user").get(organization=organization)
        page = dashboard.compose(membership=membership, now=now)
    return {metric.label: metric for metric in page.metrics}


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_requests_are_compared_with_the_same_part_of_the_last_period(owner: User, acme: Organization):
    with tenancy.system("test"):
        UsagePeriod.objects.filter(organization=acme).delete()
        for start in (datetime(2026, 10, 10, tzinfo=UTC), datetime(2026, 11, 10, tzinfo=UTC)):
            end = start.replace(month=start.month + 1)
            UsagePeriod.objects.create(organization=acme, start=start, end=end, anchor=start)
    for at in (
        datetime(2026, 10, 11, tzinfo=UTC),
        datetime(2026, 10, 12, tzinfo=UTC),
        datetime(2026, 11, 5, tzinfo=UTC),
    ):
        call(acme, at)  # two by this day of the period, one later
    metric = figures(acme, owner, NOW)["API requests"]
    assert words(metric.change) == "−100% vs. the same time last period"
    assert metric.foot == ""


def test_the_first_period_has_nothing_to_compare_with(owner: User, acme: Organization):
    metric = figures(acme, owner, timezone.now())["API requests"]
    assert (metric.change, metric.foot, metric.spark) == ("", "this period", None)


def test_the_error_rate_is_compared_with_the_day_before_and_leads_to_the_failures(
    owner: User, acme: Organization
):
    now = timezone.now()
    for age, status in ((1, 500), (2, 200), (30, 404), (31, 200), (32, 200), (33, 200)):
        call(acme, now - timedelta(hours=age), status)
    metric = figures(acme, owner, now)["Error rate"]
    assert (metric.value, metric.foot) == ("50%", "1 of 2 calls in 24 hours")
    assert words(metric.change) == "+100% vs. the day before"
    assert metric.href == "/requests/?since=24h&status=failed"
    listed = page_of(owner).get(metric.href).content.decode().split("<tbody>")[1]
    assert listed.count("<tr>") == 1


def test_calls_made_on_a_test_clock_are_counted_when_they_are_made(owner: User, acme: Organization):
    """The log runs on real time: in a month on a test clock the chart was empty, and "no calls" stood beside a call."""
    now = timezone.now()
    call(acme, now)
    organizations.set_test_clock_time(organization=acme, test_clock_time=now + timedelta(days=61))
    shown = figures(acme, owner, now + timedelta(days=61))
    assert shown["Error rate"].foot == "0 of 1 calls in 24 hours"
    assert shown["API requests"].spark is not None and not shown["API requests"].change
    page = page_of(owner).get("/dashboard/").content.decode()
    assert "no calls in 24 hours" not in page and "vs. the same time last period" not in page


def test_what_was_done_again_and_again_is_one_line(owner: User, acme: Organization):
    with tenancy.tenant(acme):
        audit.record(action="member.added", organization=acme, actor=owner, target=owner)
        for _ in range(8):
            audit.record(action="organization.test_clock_time_set", organization=acme, target=acme)
        audit.record(action="api_key.created", organization=acme, actor=owner, target=acme)
        activity = dashboard.activity.newest(acme)
    assert [(entry.text, entry.times) for entry in activity[:3]] == [
        ("API key created", 1),
        ("Organization test clock time set", 8),
        ("Member added", 1),
    ]


def test_a_step_that_is_done_asks_for_nothing(owner: User, acme: Organization):
    page = page_of(owner).get("/dashboard/").content.decode()
    assert "Confirm your email address" in page
    assert "Open the link that we sent" not in page  # it is confirmed
    assert "Your programs send it with every call" in page


def test_what_follows_the_calls_is_drawn_anew_alone(
    owner: User, acme: Organization, django_assert_max_num_queries
):
    client = page_of(owner)
    call(acme, timezone.now())
    client.get("/dashboard/")
    with django_assert_max_num_queries(14):
        part = client.get("/dashboard/live/", headers={"HX-Request": "true"})
    body = part.content.decode()
    for name in ("start", "chart", "activity"):
        assert re.search(rf'id="dashboard-{name}"[^>]* hx-swap-oob="true"', body), name
    assert "<svg" in body
    assert "<html" not in body
    assert client.get("/dashboard/live/")["Location"] == "/dashboard/"


def test_the_first_call_is_told_in_three_languages(owner: User, acme: Organization):
    page = unescape(page_of(owner).get("/dashboard/").content.decode())
    blocks = re.findall(r"<code data-copy-source>(.*?)</code>", page, re.DOTALL)
    curl, python, javascript = blocks
    body = re.search(r"-d '(.*)'", curl).group(1)
    assert json.loads(body) == {"event_id": "hello", "meter": "ai_tokens", "quantity": 1}
    compile(python, "first_call.py", "exec")
    for block in blocks:
        assert "http://testserver/api/v1/usage/events" in block
        assert body in block
        assert "SUPERAGENT_KEY" in block
    assert javascript.startswith(
        'const response = await fetch("http://testserver/api/v1/usage/events", {\n  method: "POST",'
    )
