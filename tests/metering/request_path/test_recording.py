"""Lines become rows once, in a period of their organization's."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.models import Organization
from metering.models import Quota, SpoolCheckpoint, UsagePeriod
from metering.request_path import shipping, spool
from superagent.foundation import tenancy
from superagent.foundation.identifiers import uuid7
from tests.metering.conftest import give, quota_of, terms
from tests.metering.request_path.test_quarantine import quarantined
from tests.metering.request_path.test_shipping import line
from tests.metering.request_path.test_stopped_hosts import recorded

pytestmark = pytest.mark.django_db


def test_lines_that_come_again_are_counted_once(organization: Organization, tmp_path: Path) -> None:
    """Metering A2, operations D3: whatever became of the checkpoint."""
    give(organization, terms("api_requests", 1000, rate="1"))
    with tenancy.system("test"):
        period = UsagePeriod.objects.get()
    writer = spool.Writer(tmp_path)
    for _ in range(30):
        writer.append(line(organization, period=period.pk.hex, counted=spool.COUNTED))
    assert shipping.ship_all(tmp_path) == 30
    with tenancy.system("test"):
        SpoolCheckpoint.objects.all().delete()
    for _ in range(12):
        writer.append(line(organization, period=period.pk.hex, counted=spool.COUNTED))
    assert shipping.ship_all(tmp_path) == 12
    assert recorded() == quota_of(organization, "api_requests").used == 42
    assert quarantined() == []


def test_use_of_a_period_that_a_restored_database_lacks_counts_in_the_one_of_its_time(
    organization: Organization, tmp_path: Path
) -> None:
    give(organization, terms("api_requests", 1000))
    writer = spool.Writer(tmp_path)
    for _ in range(5):
        writer.append(line(organization, period=uuid7().hex, counted=spool.COUNTED))
    assert shipping.ship_all(tmp_path) == 5
    assert quota_of(organization, "api_requests").used == 5
    assert quarantined() == []


def test_use_is_never_counted_in_another_organization_s_period(
    organization: Organization, other_organization: Organization, tmp_path: Path
) -> None:
    for each in (organization, other_organization):
        give(each, terms("api_requests", 1000))
    with tenancy.system("test"):
        foreign = UsagePeriod.objects.get(organization=other_organization)
    writer = spool.Writer(tmp_path)
    writer.append(line(organization, period=foreign.pk.hex, counted=spool.COUNTED))
    shipping.ship_all(tmp_path)
    assert quota_of(organization, "api_requests").used == 1
    assert quota_of(other_organization, "api_requests").used == 0
    with tenancy.system("test"):
        assert Quota.objects.count() == 2
