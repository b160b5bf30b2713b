"""Requests that are answered but not recorded yet: this host's spool, and what any host could not ship."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from django.db.models import Min, QuerySet
from django.utils import timezone

from metering.models import QuarantinedLine, SpoolCheckpoint
from metering.request_path.spool import SUFFIX, spool_directory
from superagent.foundation import tenancy

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
SILENT_AFTER = timedelta(minutes=5)
LATE_SECONDS = 60
FIRST_LINE_BYTES = 64
"""Enough for the id of a line."""


@dataclass(frozen=True, slots=True)
class HostSpool:
    """The spool of this host: what PostgreSQL does not know yet, how long ago the oldest of it was answered, and
    whether its disk takes more."""

    waiting_bytes: int
    oldest_seconds: float
    is_writable: bool


def of_this_host(directory: Path | None = None) -> HostSpool:
    """In the system scope."""
    directory = directory or spool_directory()
    sizes: dict[str, int] = {}
    for segment in directory.glob(f"*{SUFFIX}"):
        try:
            sizes[segment.name] = segment.stat().st_size
        except FileNotFoundError:
            continue
    shipped = dict(SpoolCheckpoint.objects.filter(segment__in=sizes).values_list("segment", "offset"))
    waiting = {name: size - shipped.get(name, 0) for name, size in sizes.items()}
    ages = [
        _age_seconds(directory / name, shipped.get(name, 0)) for name, length in waiting.items() if length > 0
    ]
    return HostSpool(sum(waiting.values()), max(ages, default=0.0), _is_writable(directory))


def problems() -> list[str]:
    """Returns what needs an operator, in words; opens its own system scope."""
    with tenancy.isolated(), tenancy.system("what is answered but not billed"):
        host = of_this_host()
        counted = [
            (quarantined().count(), "lines in quarantine"),
            (failing().count(), "spool segments that cannot be shipped"),
            (silent().count(), "spool segments that no host ships"),
        ]
    found = [f"{what}: {count}" for count, what in counted if count]
    if not host.is_writable:
        found.append("the spool cannot be written: requests go directly to the database")
    if host.oldest_seconds > LATE_SECONDS:
        found.append(f"requests of this host have waited for {host.oldest_seconds:.0f} s")
    return found


def failing() -> QuerySet[SpoolCheckpoint]:
    """Returns segments of any host that could not be shipped at the last try."""
    return SpoolCheckpoint.objects.filter(finished_at__isnull=True, failed_at__isnull=False)


def silent() -> QuerySet[SpoolCheckpoint]:
    """Returns segments that no shipper has read for a while: their host is down, or has no shipper."""
    return SpoolCheckpoint.objects.filter(
        finished_at__isnull=True, updated_at__lt=timezone.now() - SILENT_AFTER
    )


def known_until() -> datetime:
    """Returns the moment until which all hosts have shipped every answered request. In the system scope."""
    unfinished = SpoolCheckpoint.objects.filter(finished_at__isnull=True)
    if unfinished.filter(read_at__isnull=True).exists():
        return NEVER
    return unfinished.aggregate(earliest=Min("read_at"))["earliest"] or timezone.now()


def quarantined() -> QuerySet[QuarantinedLine]:
    return QuarantinedLine.objects.filter(state=QuarantinedLine.State.WAITING)


def give_up(*, segment: SpoolCheckpoint, now: datetime) -> bool:
    """Mark a segment of a lost host as finished. Returns False if it was finished already.

    If the host comes back after all, its lines are shipped.
    """
    rows = SpoolCheckpoint.objects.filter(pk=segment.pk, finished_at__isnull=True)
    return bool(rows.update(finished_at=now, failed_at=None, failure=""))


def _age_seconds(segment: Path, offset: int) -> float:
    """Returns the age of the first unshipped line, by its id: a UUIDv7 begins with milliseconds of real time."""
    try:
        with segment.open("rb") as file:
            file.seek(offset)
            fields = file.read(FIRST_LINE_BYTES).split(b"\t")
        milliseconds = UUID(fields[1].decode()).int >> 80
        return max(0.0, timezone.now().timestamp() - milliseconds / 1000)
    except (OSError, IndexError, ValueError):
        return 0.0  # shipped meanwhile, or no line of ours: that one goes to quarantine


def _is_writable(directory: Path) -> bool:
    """Writes a test block: a full disk, missing permission and a read-only file system all refuse it."""
    probe = directory / f".probe-{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            probe.write_bytes(b"\0" * 4096)
        finally:
            probe.unlink(missing_ok=True)
    except OSError:
        return False
    return True
