"""What was used moves to the period in which it is counted now."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from accounts.models import Organization
from metering.models import Quota, RequestRecord, UsageEvent, UsagePeriod
from metering.quotas import periods
from metering.request_path import shipping, spool
from metering.usage import voids
from tests.metering.conftest import terms
from tests.metering.request_path.test_shipping import line
from tests.metering.test_boundaries import MICROSECOND, START, counted, report, shown, signed_up


@pytest.mark.usefixtures("system_scope")
def test_months_begun_anew_take_with_them_what_was_used_since(
    organization: Organization, tmp_path: Path
) -> None:
    """Metering A5: the webhook came an hour late; events, requests, and requests that are not shipped yet."""
    signed_up(organization, terms("ai_tokens", 0, rate="1"), terms("api_requests", 0, rate="1"))
    first = UsagePeriod.objects.get()
    begins = START + timedelta(days=9, hours=3)
    writer = spool.Writer(tmp_path)

    def request(at: datetime) -> None:
        started = (at - spool.EPOCH) // MICROSECOND
        writer.append(line(organization, period=first.pk.hex, counted=spool.COUNTED, started=started))

    report(organization, "just before", 1, at=begins - MICROSECOND, now=begins)
    report(organization, "at the start", 10, at=begins, now=begins)
    report(
        organization,
        "half an hour after",
        500,
        at=begins + timedelta(minutes=30),
        now=begins + timedelta(hours=1),
    )
    report(organization, "taken back", 70, at=begins + timedelta(minutes=40), now=begins + timedelta(hours=1))
    voids.void(
        organization=organization,
        source="api",
        event_id="taken back",
        principal=None,
        now=begins + timedelta(hours=1),
    )
    for at in (begins - MICROSECOND, begins, begins + timedelta(minutes=59)):
        request(at)
    assert shipping.ship_all(tmp_path) == 3
    for at in (begins - MICROSECOND, begins, begins + timedelta(minutes=59)):
        request(at)
    period = periods.begin(organization=organization, start=begins, now=begins + timedelta(hours=1))
    assert shipping.ship_all(tmp_path) == 3
    assert period.start == begins
    assert counted(organization) == shown(organization) == {START: 1, begins: 510}
    assert (
        counted(organization, "api_requests") == shown(organization, "api_requests") == {START: 2, begins: 4}
    )
    assert Quota.objects.get(period=first, meter__slug="api_requests").late_quantity == 1
    assert set(UsageEvent.objects.filter(period=period).values_list("quantity", flat=True)) == {10, 500, 70}
    assert RequestRecord.objects.filter(period_id=period.pk).count() == 4


@pytest.mark.usefixtures("system_scope")
def test_a_trial_that_ends_earlier_gives_on_what_was_used_since(organization: Organization) -> None:
    signed_up(organization)
    trial, ends, sooner = (START + timedelta(days=number) for number in (2, 16, 10))
    periods.begin(organization=organization, start=trial, until=ends, now=trial)
    report(organization, "in both", 7, at=sooner - MICROSECOND, now=sooner)
    report(organization, "after the sooner end", 30, at=sooner, now=sooner + timedelta(hours=1))
    periods.begin(organization=organization, start=trial, until=sooner, now=sooner + timedelta(hours=2))
    assert counted(organization) == shown(organization) == {START: 0, trial: 7, sooner: 30}
