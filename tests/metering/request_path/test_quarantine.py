"""A line that the database refuses is kept, holds up nothing, and is recorded or dismissed by staff."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from django.utils import timezone

from accounts.models import Organization
from metering.models import RequestRecord, UsagePeriod
from metering.request_path import backlog, quarantine, shipping, spool
from superagent.foundation import tenancy
from tests.fixtures import database
from tests.metering.conftest import give, terms
from tests.metering.request_path.test_shipping import line
from tests.metering.request_path.test_stopped_hosts import for_real, recorded

pytestmark = pytest.mark.django_db


def quarantined() -> list[tuple[str, bytes]]:
    with tenancy.system("test"):
        rows = backlog.quarantined().order_by("offset")
        return [(row.reason, bytes(row.content)) for row in rows]


def poison() -> None:
    """From now on PostgreSQL refuses one path, as it would refuse a row that breaks any constraint."""
    with psycopg.connect(database.url("owner"), autocommit=True) as owner:
        owner.execute(
            "ALTER TABLE metering_requestrecord ADD CONSTRAINT no_poison CHECK (path <> '/poison') NOT VALID"
        )


@for_real
def test_a_line_that_cannot_be_recorded_is_kept_and_holds_up_nothing(
    organization: Organization, tmp_path: Path
) -> None:
    """Metering A2."""
    poison()
    bad = {
        "not a line of this version": b"1\ttorn\n",
        "codec can't decode": b"\xff\xfe\n",
        "path is not a text": line(organization, path="/a\0b"),
        "endpoint is not a text of at most 200": line(organization, endpoint="/" + "x" * 200),
        "status is not a number": line(organization, status=70000),
        "started_us is not a number": line(organization, started=2**60),
        "There is no organization": line(Organization(pk=uuid4())),
        "no_poison": line(organization, path="/poison"),
    }
    writer = spool.Writer(tmp_path)
    for text in bad.values():
        for _ in range(5):
            writer.append(line(organization))
        writer.append(text)
    writer.close()
    assert shipping.ship_all(tmp_path) == 40
    assert shipping.ship_all(tmp_path) == 0
    assert list(tmp_path.glob("*.spool")) == []
    found = quarantined()
    assert [content for _, content in found] == [text.rstrip(b"\n") for text in bad.values()]
    assert all(reason in said for reason, (said, _) in zip(bad, found, strict=True))
    assert recorded() == 40
    assert backlog.problems() == ["lines in quarantine: 8"]


@for_real
def test_many_bad_lines_cost_no_good_one(organization: Organization, tmp_path: Path) -> None:
    poison()
    writer = spool.Writer(tmp_path)
    for number in range(60):
        writer.append(line(organization, path="/poison" if number % 7 in (0, 1) else "/fine"))
    assert shipping.ship_all(tmp_path) == 42
    assert len(quarantined()) == 18


def test_a_segment_whose_end_is_not_text_is_read_past_it(organization: Organization, tmp_path: Path) -> None:
    """A host that lost power leaves blocks of zeros."""
    writer = spool.Writer(tmp_path)
    writer.append(line(organization))
    writer.append(b"\0" * (shipping.BATCH_BYTES + 1000) + b"\n")
    writer.append(line(organization))
    writer.close()
    assert shipping.ship_all(tmp_path) == 2
    assert list(tmp_path.glob("*.spool")) == []
    assert [len(content) for _, content in quarantined()] == [quarantine.KEPT_BYTES, 1000]


def test_a_line_in_quarantine_is_shipped_when_its_cause_is_mended_or_given_up(
    organization: Organization, tmp_path: Path
) -> None:
    give(organization, terms("api_requests", 1000))
    with tenancy.system("test"):
        period = UsagePeriod.objects.get()
    stranger = Organization(pk=uuid4(), name="Restored", email="r@example.com")
    writer = spool.Writer(tmp_path)
    writer.append(line(stranger))
    writer.append(line(organization, period=period.pk.hex, counted=spool.COUNTED)[:-9] + b"\n")
    shipping.ship_all(tmp_path)
    now = timezone.now()
    with tenancy.system("test"):
        of_stranger, torn = backlog.quarantined().order_by("offset")
        with pytest.raises(quarantine.StillUnreadable, match="There is no organization"):
            quarantine.ship_again(line=of_stranger, now=now)
        with pytest.raises(quarantine.StillUnreadable, match="not a line"):
            quarantine.ship_again(line=torn, now=now)
        stranger.save(force_insert=True)
        assert quarantine.ship_again(line=of_stranger, now=now)
        assert not quarantine.ship_again(line=of_stranger, now=now)
        assert quarantine.dismiss(line=torn, now=now)
        assert not quarantine.dismiss(line=torn, now=now)
        assert RequestRecord.objects.get().organization_id == stranger.pk
    assert backlog.problems() == []
