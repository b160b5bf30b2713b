"""What other hosts have not shipped is told until it is shipped or given up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.models import Organization
from metering.models import SpoolCheckpoint
from metering.request_path import backlog, shipping, spool
from metering.tasks import turn_partitions
from superagent.foundation import tenancy
from tests.metering.request_path.test_shipping import line
from tests.metering.request_path.test_stopped_hosts import recorded

pytestmark = pytest.mark.django_db


def test_another_host_s_checkpoints_are_never_forgotten(organization: Organization, tmp_path: Path) -> None:
    """Operations D3. This host runs the daily job; the segment lies on the other one, which was off for a month."""
    writer = spool.Writer(tmp_path)
    writer.append(line(organization))
    assert shipping.ship_all(tmp_path) == 1
    with tenancy.system("test"):
        SpoolCheckpoint.objects.update(updated_at=timezone.now() - timedelta(days=30))
        assert backlog.silent().count() == 1
    turn_partitions()
    writer.append(line(organization))
    assert shipping.ship_all(tmp_path) == 1
    assert recorded() == 2
    writer.close()
    shipping.ship_all(tmp_path)
    with tenancy.system("test"):
        assert backlog.silent().count() == 0
        assert shipping.forget_finished(now=timezone.now()) == 0
        assert shipping.forget_finished(now=timezone.now() + timedelta(days=8)) == 1


def test_a_host_that_never_comes_back_is_told_until_somebody_gives_it_up(
    organization: Organization, tmp_path: Path
) -> None:
    writer = spool.Writer(tmp_path)
    writer.append(line(organization))
    shipping.ship_all(tmp_path)
    with tenancy.system("test"):
        SpoolCheckpoint.objects.update(updated_at=timezone.now() - timedelta(minutes=6))
        segment = SpoolCheckpoint.objects.get()
        assert backlog.problems() == ["spool segments that no host ships: 1"]
        assert backlog.give_up(segment=segment, now=timezone.now())
        assert not backlog.give_up(segment=segment, now=timezone.now())
    assert backlog.problems() == []
    writer.append(line(organization))  # it came back
    assert shipping.ship_all(tmp_path) == 1
    with tenancy.system("test"):
        assert SpoolCheckpoint.objects.get().finished_at is None
