"""What a bad line, a full disk, another host, a stop signal or a restored database do to metering: nothing is lost,
nothing is counted twice, and nobody else waits."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.test import AsyncClient
from django.utils import timezone

from accounts.models import Organization
from metering.admission import counters, redis_wire
from metering.models import Quota, RequestRecord, SpoolCheckpoint, UsagePeriod
from metering.request_path import backlog, quarantine, shipping, spool
from metering.tasks import aggregate_usage, close_periods, reconcile_counters, turn_partitions, warn_of_quotas
from superagent.foundation import tenancy
from superagent.foundation.identifiers import uuid7
from tests.fixtures import database
from tests.fixtures.web import Web
from tests.metering.conftest import Api, give, new_key, quota_of, terms
from tests.metering.request_path.test_shipping import line

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


# --- One bad line


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


# --- Again, from elsewhere, from before


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


# --- A full disk


@contextmanager
def disk_of(length: int) -> Iterator[None]:
    """No file of this process grows beyond `length` bytes: the kernel takes a part of the last write, then none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_first_line_after_a_full_disk_is_not_lost(organization: Organization, tmp_path: Path) -> None:
    """Metering A7, operations D2."""
    room = 4 * 1024 * 1024  # more than anything else that this process writes to
    writer = spool.Writer(tmp_path)
    filler = line(organization, path="/" + "x" * 499)
    writer.append(filler * (room // len(filler) - 1))
    accepted = room // len(filler) - 1
    for episode in range(1, 4):
        with disk_of(room + episode * 1000):
            for _ in range(5):
                try:
                    writer.append(line(organization))
                    accepted += 1
                except OSError:
                    pass
        writer.append(line(organization))  # there is room again
        accepted += 1
    writer.close()
    texts = b"".join(segment.read_bytes() for segment in tmp_path.glob("*.spool")).split(b"\n")
    assert texts.pop() == b""
    assert len(texts) == accepted
    for text in texts:
        spool.SpoolLine.parse(text)


@for_real
def test_requests_go_past_a_spool_that_refuses_and_operators_are_told(
    organization: Organization, api: Api, settings: Any, tmp_path: Path
) -> None:
    give(organization, terms("api_requests", 1000, hard=True))
    (tmp_path / "file").write_text("")
    settings.SPOOL_DIR = tmp_path / "file"  # neither a directory nor to be made one
    refused = spool.refused_lines._value.get()
    assert [api.get("usage/meters").status_code for _ in range(3)] == [200] * 3
    assert recorded() == quota_of(organization, "api_requests").used == 3
    assert spool.refused_lines._value.get() - refused == 3
    assert any("spool cannot be written" in problem for problem in backlog.problems())


@for_real
def test_a_stream_goes_past_a_spool_that_refuses_too(
    organization: Organization, api: Api, settings: Any, tmp_path: Path
) -> None:
    give(organization, terms("api_requests", 1000))
    (tmp_path / "file").write_text("")
    settings.SPOOL_DIR = tmp_path / "file"

    async def scenario() -> None:
        headers = {"Authorization": f"Bearer {api.key}"}
        parts = (await AsyncClient().get("/api/v1/usage/stream", headers=headers)).streaming_content
        await anext(parts)
        await parts.aclose()

    asyncio.run(scenario())
    wait_until(lambda: recorded() == 1)
    assert quota_of(organization, "api_requests").used == 1


# --- A stop


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
