"""A counter is renewed by the clock of Redis, once, and without waiting for the spool."""

from __future__ import annotations

import datetime as datetimes
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Organization
from metering.admission import redis_wire
from metering.admission.charges import Charge, Facts
from metering.models import RequestRecord, SpoolCheckpoint
from metering.request_path import charging, shipping
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, new_key, terms
from tests.metering.test_clocks import REQUESTS, end_period, microseconds


def redis_now() -> int:
    seconds, rest = redis_wire.send(redis_wire.pack("TIME"), 1)[0]
    return int(seconds) * 1_000_000 + int(rest)


def charge(organization: Organization) -> Charge:
    return charging.charge(
        organization_id=organization.pk, caller="caller", organization=lambda: organization
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limit", [100_000, None], ids=["hard", "unlimited"])
def test_a_period_ends_for_redis_at_its_microsecond(organization: Organization, limit: int | None) -> None:
    """Metering A5: of 304 requests after an end at .05 s, 151 were counted in the ended period.

    Whatever the machine is doing, the time of Redis before and after a call tells in which period it belongs; only one
    that the end falls into may be in either.
    """
    give(organization, terms(REQUESTS, limit, hard=limit is not None))
    end = datetime.fromtimestamp(redis_now() / 1_000_000, UTC) + timedelta(seconds=1)
    end = end.replace(microsecond=end.microsecond // 1000 * 1000 + 137)
    end_period(organization, end)
    calls: list[tuple[int, Facts, int]] = []
    while not calls or calls[-1][0] < microseconds(end) + 100_000:
        before = redis_now()
        calls.append((before, charge(organization).facts, redis_now()))
    for before, facts, after in calls:
        if after < microseconds(end):
            assert facts.end_us == microseconds(end)
        elif before >= microseconds(end):
            assert facts.start_us == microseconds(end)
    assert {facts.start_us >= microseconds(end) for _, facts, _ in calls} >= {True}
    assert len({facts.period_id for _, facts, _ in calls}) <= 2


@pytest.mark.django_db(transaction=True)
def test_a_host_whose_clock_is_behind_makes_one_counter_and_then_asks_postgres_nothing(
    organization: Organization, api: Api, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    """Metering B12: it made five counters, and asked PostgreSQL for each request, for as long as its clock lagged."""

    class Behind(datetimes.datetime):
        @classmethod
        def now(cls, tz: datetimes.tzinfo | None = None) -> datetime:
            return datetimes.datetime.now(tz) - timedelta(minutes=1)

    give(organization, terms(REQUESTS, 1000, hard=True))
    assert api.get("usage/meters").status_code == 200
    end = timezone.now()
    end_period(organization, end)
    monkeypatch.setattr(charging, "datetime", Behind)
    monkeypatch.setattr(timezone, "now", lambda: Behind.now(UTC))
    assert charge(organization).facts.start_us == microseconds(end)
    with django_assert_num_queries(0):
        for _ in range(5):
            taken = charge(organization)
            assert (taken.verdict, taken.facts.start_us) == ("ok", microseconds(end))


@pytest.mark.django_db(transaction=True)
def test_a_call_without_a_counter_does_not_wait_for_the_backlog_of_others(
    organization: Organization, other_organization: Organization, api: Api
) -> None:
    """Metering B8: a call without a counter shipped 150,000 lines of others, 4.4 s. Now it ships none."""
    give(organization, terms(REQUESTS, 100, hard=True))
    give(other_organization, terms(REQUESTS, 100, hard=True))
    for _ in range(3):
        assert api.get("usage/meters").status_code == 200
    stranger = new_key(other_organization)
    for lose in (lambda: None, lambda: redis_wire.send(redis_wire.pack("FLUSHDB"), 1)):
        lose()
        assert stranger.get("usage/meters").status_code == 200
        with tenancy.system("test"):
            assert not SpoolCheckpoint.objects.exists()
            assert not RequestRecord.objects.exists()
    assert shipping.ship_all() == 5
