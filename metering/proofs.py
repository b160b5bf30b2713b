"""Proofs: rollups against the facts that they sum up. A difference is logged and healed.

Facts and rollups are written in one transaction, and one statement sees one moment, so a difference is an error and
never a race. It is added, not set: what others count at the same time stays.
"""

from datetime import datetime

import structlog
from django.db import connection

from metering.histogram import BOUNDS_US, BUCKETS
from metering.models import REQUESTS, EventVoid, Meter, RequestRecord, RequestRollup, UsageEvent, UsageRollup

log = structlog.get_logger(__name__)

EVENTS, VOIDS, REQUEST_FACTS = (model._meta.db_table for model in (UsageEvent, EventVoid, RequestRecord))
USAGE, REQUEST_SUMS, METERS = (model._meta.db_table for model in (UsageRollup, RequestRollup, Meter))

_USAGE = f"""
WITH facts AS (
    SELECT e.organization_id, e.meter_id, date_trunc('hour', e.occurred_at, 'UTC') AS hour,
           sum(e.quantity)::bigint AS quantity, count(*) AS events
    FROM {EVENTS} e
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


def prove_usage(*, start: datetime, end: datetime) -> int:
    """Compare the usage rollups of the hours `[start, end)` with events and requests; answers how many were healed.

    Runs in the system scope; both ends are whole hours.
    """
    return _heal("usage", _USAGE, start, end)


def prove_requests(*, start: datetime, end: datetime) -> int:
    """The same for the request rollups, as long as the requests themselves are kept."""
    return _heal("requests", _REQUESTS, start, end)


def _heal(name: str, statement: str, start: datetime, end: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            statement, {"start": start, "end": end, "requests": REQUESTS, "bounds": list(BOUNDS_US)}
        )
        healed = cursor.fetchall()
    for organization_id, hour in healed:
        log.error(
            "rollup_healed", rollup=name, organization=str(organization_id), hour=hour.isoformat(), alarm=True
        )
    return len(healed)
