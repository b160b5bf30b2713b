"""Statistics and series of requests and usage."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Organization
from metering.request_path import shipping
from tests.metering.conftest import Api, give, terms


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
