"""Shipping: the lines of the spool into PostgreSQL, each exactly once.

How far a segment was read is a row (SpoolCheckpoint) that moves in the transaction that writes the rows of what was
read. Several shippers may run: the checkpoint's lock lets one of them read a segment at a time. A segment whose writer
has died is read to its end and deleted; a last line without its newline was never answered for and is left out.
"""

import atexit
import fcntl
import os
import threading
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Organization
from metering import counters, histogram, rollups
from metering.models import REQUESTS, Meter, Quota, RequestRecord, SpoolCheckpoint
from metering.spool import COUNTED, NOT_COUNTED, SUFFIX, Line, directory
from superagent.foundation import tenancy

INTERVAL_SECONDS = 2
BATCH_BYTES = 2 * 1024 * 1024
CHECKPOINTS_KEPT = timedelta(days=7)
COLUMNS = (
    "id", "organization_id", "request_id", "user_id", "api_key_id", "period_id", "method", "endpoint", "path",
    "status", "duration_us", "request_bytes", "response_bytes", "is_counted", "started_at",
)  # fmt: skip

log = structlog.get_logger(__name__)


def ship_all(place: Path | None = None) -> int:
    """Ship what every segment holds by now; answers how many requests were written."""
    place = place or directory()
    shipped = 0
    with tenancy.isolated(), tenancy.system("ship the request spool"):
        for segment in sorted(place.glob(f"*{SUFFIX}")):
            shipped += ship_segment(segment)
    return shipped


def ship_segment(segment: Path) -> int:
    """Ship one segment to the end of its complete lines; deletes it when its writer is gone. In the system scope."""
    try:
        descriptor = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0  # another shipper has finished it
    try:
        is_abandoned = _lock(descriptor)
        shipped = 0
        while (count := _ship_batch(segment.name, descriptor)) is not None:
            shipped += count
        if is_abandoned and _is_read(segment.name, descriptor):
            segment.unlink(missing_ok=True)
        return shipped
    finally:
        os.close(descriptor)


def write_now(line: bytes) -> None:
    """Write one line without the spool, whose disk refused it; the answer waits for PostgreSQL."""
    with tenancy.system("write a request past the spool"):
        with transaction.atomic():
            touched = _write(_known([Line.parse(line.rstrip(b"\n"))]))
        counters.heal(touched)


_thread_lock = threading.Lock()
_thread_pid = 0


def start_thread() -> None:
    """Ship this host's spool from this process, every 2 seconds: for hosts that have no worker (SHIP_SPOOL_IN_WEB)."""
    global _thread_pid
    if _thread_pid == os.getpid():
        return
    with _thread_lock:
        if _thread_pid == os.getpid():
            return
        _thread_pid = os.getpid()
        threading.Thread(target=_ship_forever, name="spool-shipper", daemon=True).start()
        atexit.register(ship_all)


def _ship_forever() -> None:
    while True:
        time.sleep(INTERVAL_SECONDS)
        try:
            ship_all()
        except Exception:  # PostgreSQL may be away: what is in the spool waits
            log.exception("spool_not_shipped")
        finally:
            connection.close()


def forget_old(*, now: datetime, place: Path | None = None) -> int:
    """Delete checkpoints of segments that are gone from this host, and were not touched for a week."""
    present = {segment.name for segment in (place or directory()).glob(f"*{SUFFIX}")}
    old = SpoolCheckpoint.objects.filter(updated_at__lt=now - CHECKPOINTS_KEPT)
    return old.exclude(segment__in=present).delete()[0]


def _lock(descriptor: int) -> bool:
    """Whether nobody else holds the segment: its writer is gone, and no other shipper is about to delete it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_read(name: str, descriptor: int) -> bool:
    """Whether only a torn line, or nothing, is left."""
    offset = SpoolCheckpoint.objects.filter(segment=name).values_list("offset", flat=True).first() or 0
    return b"\n" not in os.pread(descriptor, BATCH_BYTES, offset)


def _ship_batch(name: str, descriptor: int) -> int | None:
    """One transaction: some lines and the checkpoint. None when there is no complete line left."""
    with transaction.atomic():
        SpoolCheckpoint.objects.bulk_create([SpoolCheckpoint(segment=name)], ignore_conflicts=True)
        checkpoint = SpoolCheckpoint.objects.select_for_update(skip_locked=True).filter(segment=name).first()
        if checkpoint is None:
            return None  # another shipper is at it
        data = os.pread(descriptor, BATCH_BYTES, checkpoint.offset)
        complete = data[: data.rfind(b"\n") + 1]
        if not complete:
            return None
        lines = _known(_parsed(complete, name))
        touched = _write(lines) if lines else {}
        checkpoint.offset += len(complete)
        checkpoint.save(update_fields=["offset", "updated_at"])
    counters.heal(touched)
    return len(lines)


def _parsed(data: bytes, name: str) -> list[Line]:
    lines = []
    for text in data[:-1].split(b"\n"):
        try:
            lines.append(Line.parse(text))
        except ValueError as error:
            log.error("spool_line_unreadable", segment=name, error=str(error), length=len(text))
    return lines


def _known(lines: list[Line]) -> list[Line]:
    """Without the lines of organizations that are not in this database: one of them would hold up all others."""
    wanted = {line.organization_id for line in lines}
    known = set(Organization.objects.filter(pk__in=wanted).values_list("pk", flat=True))
    if unknown := wanted - known:
        log.error("spool_organization_unknown", organizations=[str(each) for each in unknown])
    return [line for line in lines if line.organization_id in known]


def _write(lines: list[Line]) -> dict[tuple[UUID, UUID], tuple[int, dict[str, int]]]:
    """Requests, quotas and rollups, always locked in this order. Answers what counters.heal needs."""
    _copy(lines)
    meter_id = Meter.objects.values_list("pk", flat=True).filter(slug=REQUESTS).first()
    touched: dict[tuple[UUID, UUID], tuple[int, dict[str, int]]] = {}
    if meter_id is not None:
        touched = _count(lines, meter_id)
        hours: Counter[tuple[UUID, UUID, datetime]] = Counter(
            (line.organization_id, meter_id, rollups.hour_of(_moment(line)))
            for line in lines
            if line.counted != NOT_COUNTED
        )
        rollups.add_usage({key: (quantity, 0) for key, quantity in hours.items()})
    rollups.add_requests(_request_sums(lines))
    return touched


def _copy(lines: list[Line]) -> None:
    table = RequestRecord._meta.db_table
    statement = f"COPY {table} ({', '.join(COLUMNS)}) FROM STDIN"  # our own names
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for line in lines:
            copy.write_row(
                (
                    line.id, line.organization_id, line.request_id, line.user_id, line.api_key_id, line.period_id,
                    line.method, line.endpoint, line.path, line.status, line.duration_us, line.request_bytes,
                    line.response_bytes, line.counted != NOT_COUNTED, _moment(line),
                )
            )  # fmt: skip


def _count(lines: list[Line], meter_id: UUID) -> dict[tuple[UUID, UUID], tuple[int, dict[str, int]]]:
    by_seed: dict[tuple[UUID, UUID], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for line in lines:
        if line.counted == COUNTED and line.period_id is not None:
            by_seed[line.organization_id, line.period_id][line.seed] += 1
    if not by_seed:
        return {}
    wanted = [
        (organization, period, sum(seeds.values())) for (organization, period), seeds in by_seed.items()
    ]
    used = count_in_quotas(wanted, meter_id)
    return {key: (used[key], dict(seeds)) for key, seeds in by_seed.items() if key in used}


def count_in_quotas(wanted: list[tuple[UUID, UUID, int]], meter_id: UUID) -> dict[tuple[UUID, UUID], int]:
    """Add (organization, period, units) to the request quotas; those of closed periods count as late.

    Answers the units used by now of those that are open. Locks the rows in the order of their ids.
    """
    organizations, period_ids, quantities = (list(column) for column in zip(*wanted, strict=True))
    # A period without a quota of this meter has no terms: unlimited.
    Quota.objects.bulk_create(
        [
            Quota(organization_id=organization, period_id=period, meter_id=meter_id)
            for organization, period, _ in sorted(wanted)
        ],
        ignore_conflicts=True,
    )
    table = Quota._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH given AS (
                SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[]) AS g(organization_id, period_id, quantity)
            ), locked AS (
                SELECT q.id, g.quantity FROM {table} q
                JOIN given g ON g.period_id = q.period_id AND g.organization_id = q.organization_id
                WHERE q.meter_id = %s ORDER BY q.id FOR NO KEY UPDATE OF q
            )
            UPDATE {table} q SET
                used = q.used + CASE WHEN q.is_closed THEN 0 ELSE locked.quantity END,
                late_quantity = q.late_quantity + CASE WHEN q.is_closed THEN locked.quantity ELSE 0 END
            FROM locked WHERE q.id = locked.id
            RETURNING q.organization_id, q.period_id, q.used, q.is_closed
            """,  # noqa: S608  # our own table's name
            [organizations, period_ids, quantities, meter_id],
        )
        return {
            (organization, period): used
            for organization, period, used, is_closed in cursor.fetchall()
            if not is_closed
        }


def _request_sums(lines: list[Line]) -> dict[rollups.RequestKey, rollups.RequestSum]:
    sums: dict[rollups.RequestKey, rollups.RequestSum] = {}
    for line in lines:
        key = (line.organization_id, rollups.hour_of(_moment(line)), line.endpoint, line.method, line.status)
        each = sums.setdefault(key, rollups.RequestSum())
        each.count += 1
        each.counted += line.counted != NOT_COUNTED
        each.duration_us += line.duration_us
        each.request_bytes += line.request_bytes
        each.response_bytes += line.response_bytes
        each.histogram[histogram.bucket(line.duration_us)] += 1
    return sums


def _moment(line: Line) -> datetime:
    return datetime.fromtimestamp(line.started_us / 1_000_000, UTC)


def backlog_bytes(place: Path | None = None) -> int:
    """How much of this host's spool PostgreSQL does not know yet; for health and metrics. In the system scope."""
    sizes: dict[str, Any] = {}
    for segment in (place or directory()).glob(f"*{SUFFIX}"):
        try:
            sizes[segment.name] = segment.stat().st_size
        except FileNotFoundError:
            continue
    read = dict(SpoolCheckpoint.objects.filter(segment__in=sizes).values_list("segment", "offset"))
    return sum(size - read.get(name, 0) for name, size in sizes.items())


def forget_checkpoints() -> int:
    """The daily job."""
    return forget_old(now=timezone.now())
