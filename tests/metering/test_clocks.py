"""Clocks: whose decides when a period has ended, and what a wrong one can do to a request's time and place."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Organization
from metering.admission import counters
from metering.admission.charges import Facts
from metering.models import QuarantinedLine, RequestRecord, SpoolCheckpoint, UsagePeriod
from metering.quotas import periods
from metering.request_path import recording, shipping, spool
from superagent.foundation import tenancy
from superagent.foundation.identifiers import uuid7
from tests.metering.conftest import Api, give, quota_of, terms

REQUESTS = "api_requests"
START = datetime(2026, 5, 1, tzinfo=UTC)
END = datetime(2026, 6, 1, 0, 0, 0, 50_000, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta.resolution


def end_period(organization: Organization, at: datetime) -> None:
    with tenancy.system("test"):
        period = periods.ensure(organization=organization, now=timezone.now())
        UsagePeriod.objects.filter(pk=period.pk).update(end=at)
    counters.refresh(organization.pk)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (START, START),
        (END - timedelta.resolution, END - timedelta.resolution),
        (START - timedelta.resolution, START),
        (START - timedelta(seconds=59), START),
        (END, END - timedelta.resolution),
        (END + timedelta(seconds=59), END - timedelta.resolution),
        (START - timedelta(seconds=61), START - timedelta(seconds=61)),
        (END + timedelta(days=200), END + timedelta(days=200)),
    ],
)
def test_the_time_of_a_request_is_put_inside_its_period_unless_it_is_of_another_age(
    told: datetime, kept: datetime
) -> None:
    facts = Facts("seed", uuid7(), microseconds(START), microseconds(END), None, False, "")
    assert facts.within(microseconds(told)) == microseconds(kept)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seconds", [-40, 40])
def test_a_wrong_clock_of_a_host_moves_no_request_to_another_period(
    organization: Organization, api: Api, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """The unit was taken in the period of Redis' clock; the record says a time of that period."""
    from metering import middleware

    give(organization, terms(REQUESTS, 1000, hard=True))
    now = timezone.now()
    end_period(organization, now if seconds < 0 else now + timedelta(seconds=20))
    real = middleware.time.time_ns
    monkeypatch.setattr(middleware.time, "time_ns", lambda: real() + seconds * 1_000_000_000)
    assert api.get("usage/meters").status_code == 200
    monkeypatch.undo()
    shipping.ship_all()
    with tenancy.system("test"):
        [record] = RequestRecord.objects.all()
        period = UsagePeriod.objects.get(pk=record.period_id)
    assert period.contains(record.started_at)
    assert record.started_at == (period.start if seconds < 0 else period.end - timedelta.resolution)
    assert quota_of(organization, REQUESTS).used == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_past_the_spool", [True, False])
def test_a_request_whose_period_moves_while_it_is_recorded_is_recorded_in_the_new_one(
    organization: Organization, api: Api, monkeypatch: pytest.MonkeyPatch, is_past_the_spool: bool
) -> None:
    """It was lost where the spool's disk refused, and a failing segment where it did not."""
    give(organization, terms(REQUESTS, 1000, hard=True))
    assert api.get("usage/meters").status_code == 200
    [segment] = shipping.spool_directory().glob("*.spool")
    line = segment.read_bytes()
    if is_past_the_spool:
        spool.writer().close()
        segment.unlink()
    placed, moved = recording._placed, []

    def move() -> None:
        try:
            with tenancy.system("test"):
                now = timezone.now()
                moved.append(
                    periods.begin(organization=organization, start=now - timedelta(minutes=1), now=now)
                )
        finally:
            connection.close()

    def place_and_then_somebody_moves(lines: list[spool.SpoolLine]) -> list[spool.SpoolLine]:
        found = placed(lines)
        if not moved:
            thread = threading.Thread(target=move)
            thread.start()
            thread.join()
        return found

    monkeypatch.setattr(recording, "_placed", place_and_then_somebody_moves)
    if is_past_the_spool:
        shipping.write_now(line)
    else:
        assert shipping.ship_all() == 1
    with tenancy.system("test"):
        [record] = RequestRecord.objects.all()
        assert record.period_id == moved[0].pk
        assert not QuarantinedLine.objects.exists()
        assert not SpoolCheckpoint.objects.filter(failed_at__isnull=False).exists()
    assert quota_of(organization, REQUESTS).used == 1
