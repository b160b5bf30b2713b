"""The spool and its way into PostgreSQL, through kills and torn lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from accounts.models import Organization
from metering.models import Meter, Quota, RequestRecord, RequestRollup, SpoolCheckpoint, UsageRollup
from metering.request_path import backlog, shipping, spool
from metering.request_path.spool import SpoolLine
from metering.usage import histogram, partitions, reconciliation, rollups
from superagent.foundation import tenancy
from superagent.foundation.identifiers import uuid7
from tests.fixtures import database
from tests.metering.conftest import Api, give, terms


def line(organization: Organization, **changes: object) -> bytes:
    fields = {
        "version": spool.VERSION, "id": uuid7().hex, "request_id": uuid7().hex, "organization": organization.pk.hex,
        "user": "-", "key": "-", "period": "-", "method": "GET", "endpoint": "/api/v1/thing", "path": "/api/v1/thing",
        "status": "200", "duration": "1500", "received": "0", "sent": "20", "counted": "0",
        "started": str(int(time.time() * 1_000_000)), "seed": "-",
    } | changes  # fmt: skip
    return ("\t".join(map(str, fields.values())) + "\n").encode()


def count() -> int:
    with tenancy.system("test"):
        return RequestRecord.objects.count()


@pytest.mark.django_db(transaction=True)
def test_a_torn_last_line_waits_while_its_writer_lives_and_is_left_out_when_it_died(
    organization: Organization, tmp_path: Path
) -> None:
    writer = spool.Writer(tmp_path)
    whole = line(organization)
    writer.append(whole)
    os.write(writer._descriptor, line(organization)[:-10])
    assert shipping.ship_all(tmp_path) == 1
    os.write(writer._descriptor, b"0\t1\t-xxxx\n")  # the rest arrives, wrong: unreadable, so skipped
    writer.append(line(organization))
    os.write(writer._descriptor, b"1\ttorn")
    assert shipping.ship_all(tmp_path) == 1
    assert len(list(tmp_path.glob("*.spool"))) == 1
    writer.close()
    assert shipping.ship_all(tmp_path) == 0
    assert list(tmp_path.glob("*.spool")) == []
    assert count() == 2


@pytest.mark.django_db(transaction=True)
def test_lines_of_unknown_organizations_do_not_hold_up_the_others(
    organization: Organization, tmp_path: Path
) -> None:
    writer = spool.Writer(tmp_path)
    writer.append(line(Organization(pk=uuid4())))
    writer.append(line(organization))
    writer.close()
    assert shipping.ship_all(tmp_path) == 1
    assert count() == 1


@pytest.mark.django_db(transaction=True)
def test_shippers_at_once_write_each_line_once(organization: Organization, tmp_path: Path) -> None:
    writers = [spool.Writer(tmp_path) for _ in range(3)]
    for number in range(300):
        writers[number % 3].append(line(organization))
    shipped: list[int] = []

    def ship() -> None:
        try:
            shipped.append(shipping.ship_all(tmp_path))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ship) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shipping.ship_all(tmp_path)
    assert count() == 300


@pytest.mark.django_db(transaction=True)
def test_a_failed_transaction_moves_no_checkpoint(
    organization: Organization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = spool.Writer(tmp_path)
    writer.append(line(organization))

    def fail(*_: object) -> None:
        raise RuntimeError("the worker died here")

    with monkeypatch.context() as patch:
        patch.setattr(rollups, "add_requests", fail)
        assert shipping.ship_all(tmp_path) == 0
    with tenancy.system("test"):
        checkpoint = SpoolCheckpoint.objects.get()
        assert (checkpoint.offset, checkpoint.failure) == (0, "RuntimeError: the worker died here")
        assert backlog.failing().count() == 1
    assert count() == 0
    assert shipping.ship_all(tmp_path) == 1
    with tenancy.system("test"):
        assert SpoolCheckpoint.objects.get().offset > 0
        assert backlog.failing().count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_killed_process_leaves_all_that_it_wrote(organization: Organization, tmp_path: Path) -> None:
    """A real process, really killed; its segment is found by its lost lock."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
import django.conf
django.conf.settings.configure(SPOOL_DIR={str(tmp_path)!r})
from metering.request_path import spool
writer = spool.Writer(Path({str(tmp_path)!r}))
while True:
    writer.append(sys.argv[1].encode() + b"\\n")
    os.write(1, b".")
"""
    acknowledged = 0
    text = line(organization)[:-1].decode()
    child = subprocess.Popen([sys.executable, "-c", code, text], stdout=subprocess.PIPE)
    assert child.stdout is not None
    while acknowledged < 500:
        acknowledged += len(os.read(child.stdout.fileno(), 4096))
    child.send_signal(signal.SIGKILL)
    child.wait()
    acknowledged += len(child.stdout.read())
    [segment] = tmp_path.glob("*.spool")
    written = segment.read_bytes().count(b"\n")
    assert acknowledged <= written <= acknowledged + 1


def test_a_line_survives_the_way() -> None:
    organization = Organization(pk=uuid4())
    parsed = SpoolLine.parse(line(organization, path="/api/v1/ä")[:-1])
    assert (parsed.organization_id, parsed.path, parsed.status) == (organization.pk, "/api/v1/ä", 200)
    for broken in (b"", b"1\t2", line(organization, status="x")[:-1], line(organization, version="9")[:-1]):
        with pytest.raises(ValueError, match=r".*"):
            SpoolLine.parse(broken)


@pytest.mark.django_db(transaction=True)
def test_a_fork_writes_to_a_segment_of_its_own(tmp_path: Path, settings: object) -> None:
    settings.SPOOL_DIR = tmp_path  # type: ignore[attr-defined]  # pytest-django's fixture
    spool.writer().append(b"parent\n")
    pid = os.fork()
    if pid == 0:
        spool.writer().append(b"child\n")
        os._exit(0)
    os.waitpid(pid, 0)
    spool.writer().append(b"parent\n")
    contents = sorted(segment.read_bytes() for segment in tmp_path.glob("*.spool"))
    assert contents == [b"child\n", b"parent\nparent\n"]
    spool.writer().close()


# --- reconciliation


@pytest.mark.django_db(transaction=True)
def test_reconciliation_finds_and_repairs_what_differs(organization: Organization, api: Api) -> None:
    give(organization, terms("api_requests", 1000))
    for _ in range(5):
        api.get("usage/meters")
    api.post("usage/events", {"event_id": "e", "meter": "ai_tokens", "quantity": 7})
    shipping.ship_all()
    end = rollups.hour_of(timezone.now()) + timedelta(hours=1)
    start = end - timedelta(hours=3)
    with tenancy.system("test"):
        assert reconciliation.reconcile_usage(start=start, end=end) == 0
        assert reconciliation.reconcile_requests(start=start, end=end) == 0
        truth = list(RequestRollup.objects.order_by("endpoint").values_list("endpoint", "count", "histogram"))
        usage = list(UsageRollup.objects.order_by("meter__slug").values_list("meter__slug", "quantity"))
        UsageRollup.objects.filter(meter__slug="ai_tokens").update(quantity=99)
        UsageRollup.objects.filter(meter__slug="api_requests").delete()
        RequestRollup.objects.filter(endpoint__endswith="meters").update(count=1, histogram=histogram.empty())
        RequestRollup.objects.filter(endpoint__endswith="events").delete()
        assert reconciliation.reconcile_usage(start=start, end=end) == 2
        assert reconciliation.reconcile_requests(start=start, end=end) == 2
        assert (
            list(RequestRollup.objects.order_by("endpoint").values_list("endpoint", "count", "histogram"))
            == truth
        )
        assert (
            list(UsageRollup.objects.order_by("meter__slug").values_list("meter__slug", "quantity")) == usage
        )
        assert (
            reconciliation.reconcile_usage(start=start, end=end)
            == reconciliation.reconcile_requests(start=start, end=end)
            == 0
        )


def test_percentiles() -> None:
    counts = histogram.empty()
    assert histogram.percentile_us(counts, 50) is None
    for duration in range(1000, 101_000, 1000):
        counts[histogram.bucket(duration)] += 1
    for percent in (50, 95):
        found = histogram.percentile_us(counts, percent)
        assert found == pytest.approx(percent * 1000, rel=0.1)


# --- partitions


@pytest.mark.django_db(transaction=True)
def test_partitions_are_made_ahead_and_dropped_when_old(organization: Organization) -> None:
    with tenancy.system("test"):
        now = timezone.now()
        assert partitions.make_next(now=now) == 0  # the migration made them
        assert partitions.make_next(now=now + timedelta(days=31)) == 1
        old = datetime(2024, 1, 15, tzinfo=UTC)
        row = RequestRecord(
            id=uuid4(), organization=organization, request_id="x" * 8, method="GET", endpoint="e", path="/e",
            status=200, duration_us=1, request_bytes=0, response_bytes=0, is_counted=False, started_at=old,
        )  # fmt: skip
        row.pk = type(row.pk)(int=partitions.lowest_id(old).int + 7)
        row.save(force_insert=True)
        assert _partition_of(row) == "metering_requestrecord_rest"
        with connection.cursor() as cursor:
            cursor.execute("SELECT metering_make_request_partition('2024-01-01')")
        assert _partition_of(row) == "metering_requestrecord_202401"
        assert partitions.drop_old(now=now, kept_months=13) == 1
        assert not RequestRecord.objects.filter(pk=row.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_partitions_wait_for_no_reader_and_nobody_waits_for_them(
    organization: Organization, tmp_path: Path
) -> None:
    """Metering B1, operations D7: a dump reads for as long as it likes, and requests go on being recorded."""
    later = timezone.now() + timedelta(days=31)
    with psycopg.connect(database.url("owner")) as dump, tenancy.system("test"):
        dump.execute("LOCK TABLE metering_requestrecord IN ACCESS SHARE MODE")
        with pytest.raises(partitions.Busy):
            partitions.make_next(now=later)
        writer = spool.Writer(tmp_path)
        writer.append(line(organization))
        assert shipping.ship_all(tmp_path) == 1
        dump.rollback()
        assert partitions.make_next(now=later) == 1


def _partition_of(row: RequestRecord) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM metering_requestrecord WHERE id = %s", [row.pk])
        name: str = cursor.fetchone()[0]
    return name


@pytest.mark.django_db(transaction=True)
def test_the_meters_of_the_catalog_are_there() -> None:
    assert list(Meter.objects.order_by("slug").values_list("slug", "event_name", "value_property")) == [
        ("ai_tokens", "ai.tokens", "tokens"),
        ("api_requests", "api.request", ""),
        ("storage_mb_hours", "storage.mb_hours", "mb_hours"),
    ]
    assert Quota.objects.count() == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["duration", "received", "sent", "started"])
def test_a_number_that_no_column_holds_does_not_hold_up_the_other_lines(
    organization: Organization, tmp_path: Path, name: str
) -> None:
    writer = spool.Writer(tmp_path)
    for number in (10**30, -1):
        writer.append(line(organization, **{name: number}))
    writer.append(line(organization))
    assert shipping.ship_all(tmp_path) == 1
    assert shipping.ship_all(tmp_path) == 0
    writer.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("length", ["9" * 40, "١٢", "-5", str(2**50)])
def test_a_client_that_lies_about_its_length_is_metered_all_the_same(api: Api, length: str) -> None:
    Client().get(
        "/api/v1/quotas", headers={"Authorization": f"Bearer {api.key}"}, CONTENT_LENGTH=length
    )  # fmt: skip
    assert shipping.ship_all() == 1
    with tenancy.system("test"):
        assert 0 <= RequestRecord.objects.get().request_bytes <= 2**40
