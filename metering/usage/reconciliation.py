"""Reconciliation: rollups and quotas against the facts that they sum up. A difference is logged, and repaired unless
it is billed.

Facts and what sums them up are written in one transaction, and one statement sees one moment, so a difference is an
error and never a race. It is added, not set: what others count at the same time stays.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import F, QuerySet

from metering.admission import counters
from metering.aggregations import ADDS_UP, LEVEL
from metering.models import (
    REQUESTS,
    EventVoid,
    HourlyLevel,
    Meter,
    Quota,
    RequestRecord,
    RequestRollup,
    UsageEvent,
    UsagePeriod,
    UsageRollup,
)
from metering.rating import counting, levels
from metering.usage import partitions
from metering.usage.histogram import BOUNDS_US, BUCKETS

DAY = timedelta(days=1)
CHANGING_DAYS = 36
"""Events may come 35 days late, and be taken back as long."""

log = structlog.get_logger(__name__)

EVENTS, VOIDS, REQUEST_FACTS = (model._meta.db_table for model in (UsageEvent, EventVoid, RequestRecord))
USAGE, REQUEST_SUMS, METERS, LEVELS = (
    model._meta.db_table for model in (UsageRollup, RequestRollup, Meter, HourlyLevel)
)

_USAGE = f"""
WITH facts AS (
    SELECT e.organization_id, e.meter_id, date_trunc('hour', e.occurred_at, 'UTC') AS hour,
           sum(e.quantity)::bigint AS quantity, count(*) AS events
    FROM {EVENTS} e JOIN {METERS} m ON m.id = e.meter_id AND {ADDS_UP}
    WHERE e.occurred_at >= %(start)s AND e.occurred_at < %(end)s
      AND NOT EXISTS (SELECT FROM {VOIDS} v WHERE v.event_id = e.id)
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT r.organization_id, m.id, date_trunc('hour', r.started_at, 'UTC'), count(*), 0
    FROM {REQUEST_FACTS} r JOIN {METERS} m ON m.slug = %(requests)s
    WHERE r.is_counted AND r.started_at >= %(start)s AND r.started_at < %(end)s
    GROUP BY 1, 2, 3
), known AS (
    SELECT organization_id, meter_id, hour, sum(quantity)::bigint AS quantity, sum(events)::bigint AS events
    FROM facts GROUP BY 1, 2, 3
), rolled AS (
    SELECT * FROM {USAGE} WHERE hour >= %(start)s AND hour < %(end)s
)
INSERT INTO {USAGE} AS u (id, organization_id, meter_id, hour, quantity, event_count)
SELECT gen_random_uuid(), coalesce(k.organization_id, r.organization_id), coalesce(k.meter_id, r.meter_id),
       coalesce(k.hour, r.hour), coalesce(k.quantity, 0) - coalesce(r.quantity, 0),
       coalesce(k.events, 0) - coalesce(r.event_count, 0)
FROM known k FULL JOIN rolled r
  ON k.organization_id = r.organization_id AND k.meter_id = r.meter_id AND k.hour = r.hour
WHERE coalesce(k.quantity, 0) <> coalesce(r.quantity, 0) OR coalesce(k.events, 0) <> coalesce(r.event_count, 0)
ORDER BY 2, 3, 4
ON CONFLICT (organization_id, meter_id, hour) DO UPDATE
SET quantity = u.quantity + excluded.quantity, event_count = u.event_count + excluded.event_count
RETURNING u.organization_id, u.hour
"""  # noqa: S608  # our own tables' names

_BUCKETS = ", ".join(f"count(*) FILTER (WHERE bucket = {index})" for index in range(BUCKETS))
_REQUESTS = f"""
WITH facts AS (
    SELECT organization_id, date_trunc('hour', started_at, 'UTC') AS hour, endpoint, method, status, is_counted,
           duration_us, request_bytes, response_bytes, width_bucket(duration_us - 1, %(bounds)s::bigint[]) AS bucket
    FROM {REQUEST_FACTS} WHERE started_at >= %(start)s AND started_at < %(end)s
), known AS (
    SELECT organization_id, hour, endpoint, method, status, count(*) AS count,
           count(*) FILTER (WHERE is_counted) AS counted, sum(duration_us)::bigint AS duration_us,
           sum(request_bytes)::bigint AS request_bytes, sum(response_bytes)::bigint AS response_bytes,
           ARRAY[{_BUCKETS}]::bigint[] AS histogram
    FROM facts GROUP BY 1, 2, 3, 4, 5
), rolled AS (
    SELECT * FROM {REQUEST_SUMS} WHERE hour >= %(start)s AND hour < %(end)s
)
INSERT INTO {REQUEST_SUMS} AS u (id, organization_id, hour, endpoint, method, status, count, counted, duration_us,
                                 request_bytes, response_bytes, histogram)
SELECT gen_random_uuid(), coalesce(k.organization_id, r.organization_id), coalesce(k.hour, r.hour),
       coalesce(k.endpoint, r.endpoint), coalesce(k.method, r.method), coalesce(k.status, r.status),
       coalesce(k.count, 0) - coalesce(r.count, 0), coalesce(k.counted, 0) - coalesce(r.counted, 0),
       coalesce(k.duration_us, 0) - coalesce(r.duration_us, 0),
       coalesce(k.request_bytes, 0) - coalesce(r.request_bytes, 0),
       coalesce(k.response_bytes, 0) - coalesce(r.response_bytes, 0),
       ARRAY(SELECT coalesce(a, 0) - coalesce(b, 0) FROM unnest(k.histogram, r.histogram)
             WITH ORDINALITY AS h(a, b, n) ORDER BY n)
FROM known k FULL JOIN rolled r
  ON (k.organization_id, k.hour, k.endpoint, k.method, k.status)
   = (r.organization_id, r.hour, r.endpoint, r.method, r.status)
WHERE (k.count, k.counted, k.duration_us, k.request_bytes, k.response_bytes, k.histogram)
      IS DISTINCT FROM (r.count, r.counted, r.duration_us, r.request_bytes, r.response_bytes, r.histogram)
ORDER BY 2, 3, 4, 5, 6
ON CONFLICT (organization_id, hour, endpoint, method, status) DO UPDATE SET
    count = u.count + excluded.count, counted = u.counted + excluded.counted,
    duration_us = u.duration_us + excluded.duration_us, request_bytes = u.request_bytes + excluded.request_bytes,
    response_bytes = u.response_bytes + excluded.response_bytes,
    histogram = ARRAY(SELECT a + b FROM unnest(u.histogram, excluded.histogram)
                      WITH ORDINALITY AS h(a, b, n) ORDER BY n)
RETURNING u.organization_id, u.hour
"""  # noqa: S608  # our own tables' names


_DECIDING = levels.deciding("e.occurred_at >= %(start)s AND e.occurred_at < %(end)s")
_LEVELS = f"""
SELECT DISTINCT period_id, meter_id, hour
FROM ({_DECIDING}) AS f
FULL JOIN (SELECT * FROM {LEVELS} WHERE hour >= %(start)s AND hour < %(end)s) AS r
    USING (period_id, meter_id, value, hour, event_id, quantity, moment)
WHERE f.organization_id IS NULL OR r.organization_id IS NULL
ORDER BY 1, 2, 3
"""  # noqa: S608  # our own tables' names


def reconcile_usage(*, start: datetime, end: datetime) -> int:
    """Reconcile the usage rollups and levels of the hours `[start, end)` with events and requests.

    Returns how many were repaired. Runs in the system scope; both ends are whole hours.
    """
    return _repair("usage", _USAGE, start, end) + _repair_levels(start, end)


def reconcile_requests(*, start: datetime, end: datetime) -> int:
    """The same for the request rollups, as long as the requests themselves are kept."""
    return _repair("requests", _REQUESTS, start, end)


def reconcile_days(*, now: datetime) -> int:
    """Both, for all days in which hours may still change, and for those in which something was just taken back; a day
    at a time. Runs in the system scope. Returns the number of rows that were repaired."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = {today - ago * DAY for ago in range(-1, CHANGING_DAYS + 1)}
    taken_back = EventVoid.objects.filter(voided_at__gte=now - 2 * DAY)
    days.update(
        moment.replace(hour=0, minute=0, second=0, microsecond=0)
        for moment in taken_back.values_list("event__occurred_at", flat=True).iterator()
    )
    return sum(
        reconcile_usage(start=day, end=day + DAY) + reconcile_requests(start=day, end=day + DAY)
        for day in sorted(days)
    )


def _repair(name: str, statement: str, start: datetime, end: datetime) -> int:
    with _alone(), connection.cursor() as cursor:
        cursor.execute(
            statement, {"start": start, "end": end, "requests": REQUESTS, "bounds": list(BOUNDS_US)}
        )
        repaired = cursor.fetchall()
    for organization_id, hour in repaired:
        _tell(name, organization_id, hour)
    return len(repaired)


def _tell(name: str, organization_id: UUID, hour: datetime) -> None:
    log.error(
        "rollup_repaired", rollup=name, organization=str(organization_id), hour=hour.isoformat(), alarm=True
    )


def _repair_levels(start: datetime, end: datetime) -> int:
    """Under the lock of its quota each hour is read again."""
    with _alone():
        with connection.cursor() as cursor:
            cursor.execute(_LEVELS, {"start": start, "end": end})
            wrong = cursor.fetchall()
        quotas = counting.lock((period_id, meter_id) for period_id, meter_id, _ in wrong)
        for period_id, meter_id, hour in wrong:
            quota = quotas[period_id, meter_id]
            levels.read_again(quota, hour)
            _tell("levels", quota.organization_id, hour)
    return len(wrong)


@contextmanager
def _alone() -> Iterator[None]:
    """Two runs at once would repair a difference twice: the second waits, and sees what the first has done."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('metering.reconciliation'))")
        yield


# --- Quotas: the figures that are billed

QUOTAS, PERIODS = (model._meta.db_table for model in (Quota, UsagePeriod))

_QUOTAS = f"""
WITH changing AS (
    SELECT id, closed_at IS NOT NULL AS is_closed FROM {PERIODS}
    WHERE (closed_at IS NULL OR closed_at >= %(since)s) AND start >= %(kept_since)s
), facts AS (
    SELECT e.period_id, e.meter_id, sum(e.quantity)::bigint AS quantity
    FROM {EVENTS} e JOIN {METERS} m ON m.id = e.meter_id AND {ADDS_UP}
    WHERE e.occurred_at >= %(earliest)s AND e.period_id IN (SELECT id FROM changing)
      AND NOT EXISTS (SELECT FROM {VOIDS} v WHERE v.event_id = e.id)
    GROUP BY 1, 2
    UNION ALL
    SELECT r.period_id, m.id, count(*)
    FROM {REQUEST_FACTS} r JOIN {METERS} m ON m.slug = %(requests)s
    WHERE r.is_counted AND r.started_at >= %(earliest)s AND r.period_id IN (SELECT id FROM changing)
    GROUP BY 1, 2
    UNION ALL
    SELECT f.period_id, f.meter_id, {LEVEL}
    FROM ({levels.valid("e.occurred_at >= %(earliest)s AND e.period_id IN (SELECT id FROM changing)")}) AS f
    JOIN {METERS} m ON m.id = f.meter_id
    GROUP BY 1, 2, m.aggregation
), known AS (
    SELECT period_id, meter_id, sum(quantity)::bigint AS quantity FROM facts GROUP BY 1, 2
), counted AS (
    SELECT period_id, meter_id, used + late_quantity AS quantity, difference FROM {QUOTAS}
    WHERE period_id IN (SELECT id FROM changing)
)
SELECT period_id, meter_id, changing.is_closed, coalesce(k.quantity, 0) - coalesce(c.quantity, 0)
FROM known k FULL JOIN counted c USING (period_id, meter_id) JOIN changing ON changing.id = period_id
WHERE coalesce(k.quantity, 0) - coalesce(c.quantity, 0) <> CASE WHEN is_closed THEN coalesce(c.difference, 0) ELSE 0 END
ORDER BY 1, 2
"""  # noqa: S608  # our own tables' names


@dataclass(frozen=True, slots=True)
class _Difference:
    """By how much the facts exceed what is counted; negative: the other way round."""

    period_id: UUID
    meter_id: UUID
    is_closed: bool
    units: int


def reconcile_quotas(*, now: datetime, kept_months: int) -> int:
    """Compare what is counted for every usage period that may still change with its events and requests. Returns the
    number of quotas that differed.

    An open period is repaired. A closed one is billed: its difference is kept in `Quota.difference`, which is an alarm
    until a person has it rated (`correct`) or the facts agree again. Requests are compared for as long as they are kept
    (`kept_months`). Runs in the system scope.
    """
    since = now - CHANGING_DAYS * DAY
    kept_since = partitions.kept_since(now=now, kept_months=kept_months)
    changing = UsagePeriod.objects.filter(closed_at__isnull=True) | UsagePeriod.objects.filter(
        closed_at__gte=since
    )
    starts = changing.filter(start__gte=kept_since).order_by("start").values_list("start", flat=True)
    first = starts.first()
    if first is None:
        return 0
    with _alone():
        with connection.cursor() as cursor:
            cursor.execute(
                _QUOTAS,
                {
                    "since": since,
                    "kept_since": kept_since,
                    # What came before an organization's first period counts in that.
                    "earliest": first - CHANGING_DAYS * DAY,
                    "requests": REQUESTS,
                },
            )
            differences = [_Difference(*row) for row in cursor.fetchall()]
        for each in differences:
            _note(each)
    return len(differences)


def disproved() -> QuerySet[Quota]:
    """Quotas of closed periods that differ from their facts: a person must decide."""
    return Quota.objects.exclude(difference=0)


def correct(*, quota: Quota) -> bool:
    """Have the next period rate what the facts of a closed one say beyond what was billed, or less; False if nothing
    differs any more. In the system scope."""
    with transaction.atomic():
        locked = Quota.objects.select_for_update(no_key=True).get(pk=quota.pk)
        if not locked.difference:
            return False
        locked.late_quantity += locked.difference
        locked.difference, locked.has_unrated_use = 0, True
        locked.save(update_fields=["late_quantity", "difference", "has_unrated_use"])
        return True


def _note(found: _Difference) -> None:
    """Of an open period, repair it: even when it is closed at this moment, it is rated by what is counted by then."""
    key = (found.period_id, found.meter_id)
    quota = counting.lock([key])[key]
    facts = {
        "organization": str(quota.organization_id),
        "period": str(quota.period_id),
        "meter": str(quota.meter_id),
        "difference": found.units,
    }
    if quota.is_closed:
        Quota.objects.filter(pk=quota.pk).update(difference=found.units)
        log.error("quota_disproved", alarm=bool(found.units), **facts)
        return
    Quota.objects.filter(pk=quota.pk).update(used=F("used") + found.units)
    counters.refresh_on_commit(quota.organization)
    log.error("quota_repaired", alarm=True, **facts)
