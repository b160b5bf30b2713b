"""A segment that cannot be read, a stop signal, a host without a shipper: what was answered is recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Organization
from metering.admission import counters, redis_wire
from metering.models import RequestRecord, SpoolCheckpoint, UsagePeriod
from metering.request_path import backlog
from metering.tasks import aggregate_usage, close_periods, reconcile_counters, warn_of_quotas
from superagent.foundation import tenancy
from tests.fixtures.web import Web
from tests.metering.conftest import Api, give, new_key, quota_of, terms

pytestmark = pytest.mark.django_db
for_real = pytest.mark.django_db(transaction=True)


def recorded() -> int:
    with tenancy.system("test"):
        return RequestRecord.objects.count()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)


@for_real
def test_a_segment_that_cannot_be_read_stops_neither_the_others_nor_requests_nor_closing(
    organization: Organization, other_organization: Organization, settings: Any
) -> None:
    give(organization, terms("api_requests", 1000, hard=True))
    give(other_organization, terms("api_requests", 1000, hard=True))
    settings.SPOOL_DIR.mkdir(parents=True, exist_ok=True)
    (settings.SPOOL_DIR / "a-directory.spool").mkdir()
    mine, others = new_key(organization), new_key(other_organization)
    assert [mine.get("usage/meters").status_code for _ in range(5)] == [200] * 5
    for task in (aggregate_usage, reconcile_counters, warn_of_quotas):
        task()
    assert recorded() == 5
    assert others.get("usage/meters").status_code == 200  # its first call
    redis_wire.send(redis_wire.pack("DEL", counters.counter_key(organization.pk)), 1)
    assert mine.get("usage/meters").status_code == 200  # its counter was lost
    with tenancy.system("test"):
        UsagePeriod.objects.filter(organization=organization).update(end=timezone.now())
        assert SpoolCheckpoint.objects.get(segment="a-directory.spool").failure.startswith(
            "IsADirectoryError"
        )
    assert close_periods() == 1
    assert backlog.problems() == ["spool segments that cannot be shipped: 1"]
    (settings.SPOOL_DIR / "a-directory.spool").rmdir()


@for_real
def test_a_stop_signal_ships_what_was_answered(organization: Organization, api: Api, settings: Any) -> None:
    """Operations D1: with the Procfile's server, and nothing else that ships."""
    give(organization, terms("api_requests", 1000, hard=True))
    web = Web(workers=2)
    web.start()
    try:
        assert [web.get("/api/v1/usage/meters", key=api.key) for _ in range(25)] == [200] * 25
    finally:
        web.stop()
    assert recorded() == quota_of(organization, "api_requests").used == 25
    assert list(settings.SPOOL_DIR.glob("*")) == []


@for_real
@pytest.mark.verify
@pytest.mark.timeout(240)
def test_a_host_that_nobody_ships_ships_itself(organization: Organization, api: Api) -> None:
    """Operations D4: a second web host without a worker and without SHIP_SPOOL_IN_WEB."""
    give(organization, terms("api_requests", 1000, hard=True))
    web = Web()
    web.start()
    try:
        for _ in range(10):
            assert web.get("/api/v1/usage/meters", key=api.key) == 200
        wait_until(lambda: recorded() == 10)
    finally:
        web.kill()
