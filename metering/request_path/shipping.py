"""Shipping: the lines of the spool into PostgreSQL, each exactly once.

How far a segment was read is a row (SpoolCheckpoint) that moves in the transaction that records what was read, and a
line that comes again is known by its id. Several shippers may run: the checkpoint's lock lets one of them read a
segment at a time. A segment whose writer has died is read to its end and deleted; a last line without its newline was
never answered for and is left out. A line that the database refuses is set aside, a segment that fails is noted; all
others go on.
"""

import atexit
import fcntl
import math
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, connection, transaction
from django.utils import timezone

from metering.admission import counters
from metering.models import SpoolCheckpoint
from metering.rating import counting
from metering.request_path import quarantine, recording
from metering.request_path.spool import SUFFIX, SpoolLine, spool_directory, writer
from superagent.foundation import tenancy
from superagent.foundation.identifiers import uuid7

BATCH_BYTES = 2 * 1024 * 1024
BATCH_LINES = 8192
FINISHED_KEPT = timedelta(days=7)
STAMP_EVERY = timedelta(seconds=15)
REFUSED = (IntegrityError, DataError, ArithmeticError, ValueError)
"""Errors that a line can cause; all others are not the line's fault."""

log = structlog.get_logger(__name__)


def ship_all(directory: Path | None = None, *, most_seconds: float = math.inf) -> int:
    """Ship what every segment of this host holds by now; returns how many requests were recorded.

    After `most_seconds` it stops behind a batch: a request does not wait for the backlog of others.

    A segment that fails is noted and tried again by the next call; it stops neither the others nor the caller. Raises
    DatabaseError only when the database is away.
    """
    shipped, until = 0, time.monotonic() + most_seconds
    with tenancy.isolated(), tenancy.system("ship the request spool"):
        segments = sorted((directory or spool_directory()).glob(f"*{SUFFIX}"))
        if segments:  # all are known before the first is finished: see backlog.known_until
            SpoolCheckpoint.objects.bulk_create(
                [SpoolCheckpoint(segment=segment.name) for segment in segments], ignore_conflicts=True
            )
        for segment in segments:
            try:
                shipped += ship_segment(segment, until=until)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other segments are shipped
                _note_failure(segment, error)
    return shipped


def ship_segment(segment: Path, *, until: float = math.inf) -> int:
    """Ship one segment to the end of its complete lines; deletes it when its writer is gone. In the system scope."""
    try:
        descriptor = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0  # another shipper has finished it
    try:
        is_abandoned = _lock(descriptor)
        shipped = _ship_lines(segment.name, descriptor, until)
        if is_abandoned and _finish(segment.name, descriptor):
            segment.unlink(missing_ok=True)
        return shipped
    finally:
        os.close(descriptor)


def write_now(line: bytes) -> None:
    """Record one line without the spool, whose disk refused it; the answer waits for PostgreSQL."""
    text = line.rstrip(b"\n")
    with tenancy.isolated(), tenancy.system("write a request past the spool"):
        try:
            with transaction.atomic():
                _, touched = recording.record([SpoolLine.parse(text)])
        except (*REFUSED, counting.PeriodMoved) as error:
            quarantine.keep(segment=f"past-{uuid7().hex}", offset=0, content=text, reason=str(error))
        else:
            counters.raise_to_recorded(touched)


def forget_finished(*, now: datetime) -> int:
    """Delete the checkpoints of segments that were finished a week ago, whichever host they were on.

    Those of unfinished segments are never deleted: their host may be away, and come back.
    """
    return SpoolCheckpoint.objects.filter(finished_at__lt=now - FINISHED_KEPT).delete()[0]


# --- One segment


def _lock(descriptor: int) -> bool:
    """Returns True if the segment was locked: its writer is gone, and no other shipper is about to delete it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ship_lines(name: str, descriptor: int, until: float) -> int:
    """Batch after batch, until no complete line is left. A line that the database refuses is found by halves."""
    shipped, most = 0, BATCH_LINES
    while time.monotonic() < until:
        try:
            count = _ship_batch(name, descriptor, most)
        except REFUSED as error:
            if most == 1:
                _quarantine_next(name, descriptor, error)
            most = max(1, most // 2)
            continue
        if count is None:
            return shipped
        shipped += count
        most = min(most * 2, BATCH_LINES)
    return shipped


def _ship_batch(name: str, descriptor: int, most: int) -> int | None:
    """One transaction: some lines and the checkpoint. None when there is no complete line left."""
    with transaction.atomic():
        checkpoint = _checkpoint(name)
        if checkpoint is None:
            return None  # another shipper is at it
        chunk = _read(descriptor, checkpoint.offset, most)
        if not chunk.texts:
            _stamp(checkpoint)
            return None
        lines = _readable(chunk.texts, name, checkpoint.offset)
        count, touched = recording.record(lines)
        _advance(checkpoint, chunk.length)
    counters.raise_to_recorded(touched)
    return count


def _quarantine_next(name: str, descriptor: int, error: Exception) -> None:
    """Put the next line, which the database has just refused, into quarantine."""
    with transaction.atomic():
        checkpoint = _checkpoint(name)
        if checkpoint is None:
            return  # another shipper is at it, and finds the same
        chunk = _read(descriptor, checkpoint.offset, 1)
        for text in chunk.texts:
            quarantine.keep(segment=name, offset=checkpoint.offset, content=text, reason=str(error))
        _advance(checkpoint, chunk.length)


def _finish(name: str, descriptor: int) -> bool:
    """Returns True if an abandoned segment is shipped completely."""
    with transaction.atomic():
        checkpoint = _checkpoint(name)
        if checkpoint is None or _read(descriptor, checkpoint.offset, 1).texts:
            return False
        if torn := os.fstat(descriptor).st_size - checkpoint.offset:
            log.warning("spool_line_torn", segment=name, length=torn)
        checkpoint.finished_at = checkpoint.read_at = timezone.now()
        checkpoint.save(update_fields=["finished_at", "read_at", "updated_at"])
        return True


# --- Reading


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Complete lines, without their newlines, and how many bytes they take."""

    texts: list[bytes]
    length: int


def _read(descriptor: int, offset: int, most: int) -> _Chunk:
    data = os.pread(descriptor, BATCH_BYTES, offset)
    texts = data.split(b"\n")[:-1][:most]
    if not texts and len(data) == BATCH_BYTES:
        return _Chunk([data], len(data))  # no line is so long: the host lost power, or the disk is broken
    return _Chunk(texts, sum(map(len, texts)) + len(texts))


def _readable(texts: Iterable[bytes], name: str, offset: int) -> list[SpoolLine]:
    """Returns the lines that can be recorded; the others go to quarantine."""
    parsed: list[tuple[int, bytes, SpoolLine]] = []
    for text in texts:
        try:
            parsed.append((offset, text, SpoolLine.parse(text)))
        except ValueError as error:
            quarantine.keep(segment=name, offset=offset, content=text, reason=str(error))
        offset += len(text) + 1
    known = recording.known_organizations([line for _, _, line in parsed])
    for at, text, line in parsed:
        if line.organization_id not in known:
            reason = f"There is no organization {line.organization_id}."
            quarantine.keep(segment=name, offset=at, content=text, reason=reason)
    return [line for _, _, line in parsed if line.organization_id in known]


# --- Checkpoints


def _checkpoint(name: str) -> SpoolCheckpoint | None:
    """Returns the segment's checkpoint, locked; None while another shipper has it."""
    SpoolCheckpoint.objects.bulk_create([SpoolCheckpoint(segment=name)], ignore_conflicts=True)
    return SpoolCheckpoint.objects.select_for_update(skip_locked=True).filter(segment=name).first()


def _advance(checkpoint: SpoolCheckpoint, length: int) -> None:
    checkpoint.offset += length
    checkpoint.failed_at, checkpoint.failure, checkpoint.finished_at = None, "", None
    checkpoint.save(update_fields=["offset", "failed_at", "failure", "finished_at", "updated_at"])


def _stamp(checkpoint: SpoolCheckpoint) -> None:
    """Note, now and then and after each shipment, that everything is shipped, so that others see it."""
    now, read_at = timezone.now(), checkpoint.read_at
    if (
        read_at is None
        or checkpoint.updated_at > read_at
        or now - read_at >= STAMP_EVERY
        or checkpoint.failed_at
    ):
        SpoolCheckpoint.objects.filter(pk=checkpoint.pk).update(
            read_at=now, updated_at=now, failed_at=None, failure=""
        )


def _note_failure(segment: Path, error: Exception) -> None:
    """Raises `error` again when the database is away: then no segment can be shipped."""
    try:
        connection.close_if_unusable_or_obsolete()
        now, failure = timezone.now(), f"{type(error).__name__}: {error}".replace("\0", "")[:500]
        SpoolCheckpoint.objects.bulk_create([SpoolCheckpoint(segment=segment.name)], ignore_conflicts=True)
        SpoolCheckpoint.objects.filter(segment=segment.name).update(
            failed_at=now, failure=failure, updated_at=now
        )
    except DatabaseError:
        raise error from None
    log.error("spool_segment_not_shipped", alarm=True, segment=segment.name, exc_info=error)


# --- In web processes

TICK_SECONDS = 2
TAKE_OVER_SECONDS = 10
TRIES_AT_STOP = 5
SECONDS_BETWEEN_TRIES = 0.2

_thread_lock = threading.Lock()
_thread_pid = 0


def watch_over_spool() -> None:
    """Start a thread in this web process that sees to it that this host's spool is shipped. Idempotent.

    With SHIP_SPOOL_IN_WEB it ships every 2 seconds. Otherwise it ships what nobody has shipped for ten, so that a host
    without a worker, or whose worker is down, is billed too. At the end of the process `ship_the_rest` is called by
    `atexit`; where a signal ends it without that (uvicorn), by the server's own shutdown.
    """
    global _thread_pid
    if _thread_pid == os.getpid():
        return
    with _thread_lock:
        if _thread_pid == os.getpid():
            return
        _thread_pid = os.getpid()
        threading.Thread(target=_watch, name="spool-shipper", daemon=True).start()
        atexit.register(ship_the_rest)


def ship_the_rest() -> None:
    """At the end of a web process: its disk may end with it."""
    try:
        writer().close()
        for _ in range(TRIES_AT_STOP):
            ship_all()
            if not writer().has_segment:
                break
            time.sleep(SECONDS_BETWEEN_TRIES)  # a process that ends too is at it
    except Exception:  # PostgreSQL may be away: what is in the spool waits for the next start on this host
        log.exception("spool_not_shipped_at_stop", alarm=True)
    finally:
        connection.close()


def _watch() -> None:
    waiting: dict[str, int] = {}
    looked_at = time.monotonic()
    while True:
        time.sleep(TICK_SECONDS)
        try:
            if settings.SHIP_SPOOL_IN_WEB:
                ship_all()
            elif time.monotonic() - looked_at >= TAKE_OVER_SECONDS:
                looked_at = time.monotonic()
                if _is_left_alone(waiting):
                    ship_all()
                waiting = _waiting()
        except Exception:  # PostgreSQL may be away: what is in the spool waits
            log.exception("spool_not_shipped")
        finally:
            connection.close()


def _waiting(directory: Path | None = None) -> dict[str, int]:
    """The size of each segment of this host: what must be shipped by the next look."""
    sizes = {}
    for segment in (directory or spool_directory()).glob(f"*{SUFFIX}"):
        try:
            sizes[segment.name] = segment.stat().st_size
        except FileNotFoundError:
            continue
    return {name: size for name, size in sizes.items() if size}


def _is_left_alone(waiting: dict[str, int]) -> bool:
    """Returns True if something that was in the spool at the last look is still not shipped."""
    if not waiting:
        return False
    with tenancy.isolated(), tenancy.system("check whether this spool is shipped"):
        shipped = dict(SpoolCheckpoint.objects.filter(segment__in=waiting).values_list("segment", "offset"))
    present = _waiting()
    return any(shipped.get(name, 0) < size for name, size in waiting.items() if name in present)
