"""What people see of a counter is brought back to what PostgreSQL knows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import Organization
from metering.admission import counters, redis_wire
from metering.request_path import backlog, charging, shipping
from superagent.foundation import tenancy
from tests.metering.conftest import Api, give, terms
from tests.metering.request_path.test_charging import REQUESTS


@pytest.mark.django_db(transaction=True)
def test_units_of_a_lost_counter_are_added_when_they_are_shipped(
    organization: Organization, api: Api
) -> None:
    """Another host answered 3 requests, lost Redis, and its spool arrives after the counter was made anew."""
    give(organization, terms(REQUESTS, 10, hard=True))
    for _ in range(3):
        api.get("usage/meters")
    held = next(shipping.spool_directory().glob("*.spool"))
    away = held.rename(held.with_suffix(".away"))
    redis_wire.send(redis_wire.pack("FLUSHDB"), 1)
    assert api.get("usage/meters").status_code == 200
    assert counters.live_used(organization.pk)[1] == 1
    away.rename(held)
    shipping.ship_all()
    assert counters.live_used(organization.pk)[1] == 4


@pytest.mark.django_db(transaction=True)
def test_a_unit_of_an_unanswered_request_is_settled_after_a_time_of_quiet(
    organization: Organization, api: Api
) -> None:
    give(organization, terms(REQUESTS, 10, hard=True))
    api.get("usage/meters")
    charging.charge(
        organization_id=organization.pk, caller="killed", organization=lambda: organization
    )  # its process was killed
    shipping.ship_all()
    with tenancy.system("test"):
        assert counters.reconcile(known_until=backlog.known_until()) == 0
        assert counters.live_used(organization.pk)[1] == 2
        assert counters.reconcile(known_until=backlog.known_until(), quiet=timedelta(0)) == 1
    assert counters.live_used(organization.pk)[1] == 1
