"""Recording requests: lines of the spool into rows, quotas and hourly sums. A line that comes again changes nothing."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import structlog
from django.db import connection, transaction

from accounts.models import Organization
from metering.admission import allotments
from metering.models import REQUESTS, Meter, RequestRecord, UsagePeriod
from metering.quotas import periods
from metering.rating import counting
from metering.rating.counting import Use
from metering.request_path.spool import SpoolLine
from metering.usage import histogram, rollups

COLUMNS = (
    "id", "organization_id", "request_id", "user_id", "api_key_id", "period_id", "method", "endpoint", "path",
    "status", "duration_us", "request_bytes", "response_bytes", "is_counted", "started_at",
)  # fmt: skip

ATTEMPTS = 3

Touched = dict[tuple[UUID, UUID], tuple[int, dict[str, int]]]
"""{(organization, period): (units used by now, {seed: units just recorded})}: what counters.raise_to_recorded needs."""

log = structlog.get_logger(__name__)


def record(lines: Sequence[SpoolLine]) -> tuple[int, Touched]:
    """Record `lines`, whose organizations must exist, in the caller's transaction; returns how many were new, and what
    changed. Raises counting.PeriodMoved when periods go on moving."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with transaction.atomic():
                return _record(lines)
        except counting.PeriodMoved:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _record(lines: Sequence[SpoolLine]) -> tuple[int, Touched]:
    """Requests, quotas and rollups are always locked in this order."""
    fresh = _placed(_new(lines))
    if not fresh:
        return 0, {}
    _copy(fresh)
    meter_id = Meter.objects.values_list("pk", flat=True).filter(slug=REQUESTS).first()
    touched: Touched = {}
    if meter_id is not None:
        touched = _count(fresh, meter_id)
        hours: Counter[tuple[UUID, UUID, datetime]] = Counter(
            (line.organization_id, meter_id, rollups.hour_of(line.started_at))
            for line in fresh
            if line.is_counted
        )
        rollups.add_usage({key: (quantity, 0) for key, quantity in hours.items()})
    rollups.add_requests(_request_sums(fresh))
    return len(fresh), touched


def _new(lines: Sequence[SpoolLine]) -> list[SpoolLine]:
    """Each id once, without those that are recorded already. Bounds on the key spare the other months' partitions."""
    by_id = {line.id: line for line in lines}
    if not by_id:
        return []
    recorded = set(
        RequestRecord.objects.filter(pk__gte=min(by_id), pk__lte=max(by_id), pk__in=list(by_id)).values_list(
            "pk", flat=True
        )
    )
    if recorded or len(by_id) < len(lines):
        log.info("spool_lines_recorded_before", lines=len(lines) - len(by_id) + len(recorded))
    return [line for id_, line in by_id.items() if id_ not in recorded]


# --- The usage period of each line


def _placed(lines: list[SpoolLine]) -> list[SpoolLine]:
    """Each counted line in a period of its organization's that exists and had not ended when it was used.

    The database may be an older one that was restored, and a period that ends early ends before lines that are on
    their way.
    """
    periods_named = UsagePeriod.objects.in_bulk({line.period_id for line in lines if line.is_counted})
    of_organization: dict[UUID, list[UsagePeriod]] = {}
    placed = []
    for line in lines:
        named = periods_named.get(line.period_id)
        if line.is_counted and line.period_id and not _is_of(named, line):
            line = replace(line, period_id=_period_of(line, of_organization))
        placed.append(line)
    return placed


def _is_of(period: UsagePeriod | None, line: SpoolLine) -> bool:
    return (
        period is not None
        and period.organization_id == line.organization_id
        and line.started_at < period.end  # it may begin later: periods of a deleted test clock are ahead
    )


def _period_of(line: SpoolLine, of_organization: dict[UUID, list[UsagePeriod]]) -> UUID:
    if line.organization_id not in of_organization:
        organization = Organization.objects.get(pk=line.organization_id)
        periods.ensure(organization=organization, now=line.started_at)
        of_organization[line.organization_id] = list(
            UsagePeriod.objects.filter(organization=organization).order_by("-start")
        )
    newest, *earlier = of_organization[line.organization_id]
    for period in (newest, *earlier):
        if period.start <= line.started_at:
            return period.pk
    return newest.pk


# --- Rows and quotas


def _copy(lines: list[SpoolLine]) -> None:
    table = RequestRecord._meta.db_table
    statement = f"COPY {table} ({', '.join(COLUMNS)}) FROM STDIN"  # our own names
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        for line in lines:
            copy.write_row(
                (
                    line.id, line.organization_id, line.request_id, line.user_id, line.api_key_id, line.period_id,
                    line.method, line.endpoint, line.path, line.status, line.duration_us, line.request_bytes,
                    line.response_bytes, line.is_counted, line.started_at,
                )
            )  # fmt: skip


def _count(lines: list[SpoolLine], meter_id: UUID) -> Touched:
    counted = [(line, line.period_id) for line in lines if line.is_counted and line.period_id is not None]
    quotas = counting.lock((period_id, meter_id) for _, period_id in counted)
    by_seed: dict[tuple[UUID, UUID], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    uses = []
    for line, period_id in counted:
        if quota := quotas.get((period_id, meter_id)):
            uses.append(Use(quota, line.started_at, 1))
            by_seed[line.organization_id, period_id][line.seed] += 1
    counting.check_periods(uses)
    counting.add(uses)
    allotments.settle(Counter((line.organization_id, line.seed) for line, _ in counted if line.seed))
    used = {
        (each.organization_id, each.period_id): each.used for each in quotas.values() if not each.is_closed
    }
    return {key: (used[key], dict(seeds)) for key, seeds in by_seed.items() if key in used}


def _request_sums(lines: list[SpoolLine]) -> dict[rollups.RequestKey, rollups.RequestSum]:
    sums: dict[rollups.RequestKey, rollups.RequestSum] = {}
    for line in lines:
        key = (
            line.organization_id,
            rollups.hour_of(line.started_at),
            line.endpoint,
            line.method,
            line.status,
        )
        each = sums.setdefault(key, rollups.RequestSum())
        each.count += 1
        each.counted += line.is_counted
        each.duration_us += line.duration_us
        each.request_bytes += line.request_bytes
        each.response_bytes += line.response_bytes
        each.histogram[histogram.bucket(line.duration_us)] += 1
    return sums


def known_organizations(lines: Sequence[SpoolLine]) -> set[UUID]:
    """Which of the organizations of `lines` are in this database."""
    wanted = {line.organization_id for line in lines}
    return set(Organization.objects.filter(pk__in=wanted).values_list("pk", flat=True))
