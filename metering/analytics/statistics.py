"""What an organization's use looks like: from hourly sums, and from single requests for the parts of hours at both
ends."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from accounts.models import Organization
from metering.aggregations import ADDS_UP, LEVEL
from metering.models import (
    REQUESTS,
    EventVoid,
    HourlyLevel,
    Meter,
    RequestRecord,
    RequestRollup,
    UsageEvent,
    UsageRollup,
)
from metering.rating import levels
from metering.usage import histogram
from metering.usage.rollups import HOUR, hour_of

FIRST_FAILURE = 400

Histogram = list[int]


@dataclass(frozen=True, slots=True)
class EndpointStatistics:
    endpoint: str
    method: str
    calls: int
    failed: int
    p50_us: int | None
    p95_us: int | None

    @property
    def p50_ms(self) -> float | None:
        return _milliseconds(self.p50_us)

    @property
    def p95_ms(self) -> float | None:
        return _milliseconds(self.p95_us)


@dataclass(frozen=True, slots=True)
class RequestStatistics:
    total: int
    failed: int
    p50_us: int | None
    p95_us: int | None
    by_endpoint: list[EndpointStatistics]

    @property
    def successful(self) -> int:
        return self.total - self.failed

    @property
    def success_rate(self) -> float | None:
        """0 to 1; None without calls."""
        return round(self.successful / self.total, 6) if self.total else None

    @property
    def p50_ms(self) -> float | None:
        return _milliseconds(self.p50_us)

    @property
    def p95_ms(self) -> float | None:
        return _milliseconds(self.p95_us)


@dataclass(frozen=True, slots=True)
class Point:
    """`quantity` of `key` (a meter's slug, or an endpoint) in the bucket that begins at `start`."""

    start: datetime
    key: str
    quantity: int


def requests(organization: Organization, start: datetime, end: datetime) -> RequestStatistics:
    """Requests that started in `[start, end)`, exact to the microsecond; percentiles to a few percent."""
    histograms: dict[tuple[str, str], dict[bool, Histogram]] = defaultdict(dict)
    for endpoint, method, is_fine, bucket, count in _buckets(organization, start, end):
        each = histograms[endpoint, method].setdefault(is_fine, histogram.empty())
        each[bucket] += count
    everything = histogram.empty()
    failed = 0
    endpoints = []
    for (endpoint, method), parts in histograms.items():
        both = [sum(column) for column in zip(*parts.values(), strict=True)]
        everything = [a + b for a, b in zip(everything, both, strict=True)]
        their_failed = sum(parts.get(False, ()))
        failed += their_failed
        endpoints.append(
            EndpointStatistics(
                endpoint=endpoint,
                method=method,
                calls=sum(both),
                failed=their_failed,
                p50_us=histogram.percentile_us(both, 50),
                p95_us=histogram.percentile_us(both, 95),
            )
        )
    endpoints.sort(key=lambda each: (-each.calls, each.endpoint, each.method))
    return RequestStatistics(
        total=sum(everything),
        failed=failed,
        p50_us=histogram.percentile_us(everything, 50),
        p95_us=histogram.percentile_us(everything, 95),
        by_endpoint=endpoints,
    )


def by_meter(organization: Organization, start: datetime, end: datetime) -> list[tuple[str, int]]:
    """(meter slug, quantity as it is aggregated) of what happened in `[start, end)`, exact to the microsecond."""
    found = in_buckets(organization, [start], start, end, dimension="meter")
    return sorted((point.key, point.quantity) for point in found)


def series(
    organization: Organization, start: datetime, end: datetime, *, interval: timedelta, dimension: str
) -> list[Point]:
    """Figures by bucket: by `meter` (quantities as aggregated) or by `endpoint` (calls). Buckets are whole hours
    or days of UTC, but only what happened in `[start, end)` is counted in the first and the last."""
    with connection.cursor() as cursor:
        cursor.execute(
            _by_bucket("date_trunc(%(unit)s, {moment}, 'UTC')", dimension),
            _span(organization, start, end) | {"unit": "hour" if interval == HOUR else "day"},
        )
        return [Point(*row) for row in cursor.fetchall()]


def in_buckets(
    organization: Organization, starts: Sequence[datetime], start: datetime, end: datetime, *, dimension: str
) -> list[Point]:
    """Sums of `[start, end)` by bucket, each from its moment in `starts` to the next one, and by `dimension`: `meter`,
    or of calls `endpoint`, `method` or `status`. Hours are not divided but at both ends."""
    if not starts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            _by_bucket("width_bucket({moment}, %(starts)s::timestamptz[]) - 1", dimension),
            _span(organization, start, end) | {"starts": list(starts)},
        )
        return [Point(starts[number], key, quantity) for number, key, quantity in cursor.fetchall()]


def _by_bucket(bucket: str, dimension: str) -> str:
    """SQL: (bucket, key, quantity) of a dimension, in order; `bucket` is made of a `{moment}`."""
    key, facts, join = _DIMENSIONS[dimension]
    sums = f"""
        SELECT {bucket.format(moment="f.moment")}, {key}, sum(f.quantity)::bigint FROM ({facts}) AS f {join}
        GROUP BY 1, 2 HAVING sum(f.quantity) <> 0
    """  # noqa: S608  # our own names
    if dimension != "meter":
        return f"{sums} ORDER BY 1, 2"
    return f"""
        {sums} UNION ALL
        SELECT {bucket.format(moment="f.hour")}, m.slug, {LEVEL} FROM ({_LEVELS}) AS f
        JOIN {_METERS} m ON m.id = f.meter_id
        GROUP BY 1, 2, m.aggregation HAVING {LEVEL} <> 0 ORDER BY 1, 2
    """  # noqa: S608  # our own names


def error_rates(
    organization: Organization, spans: Sequence[tuple[datetime, datetime]]
) -> list[tuple[int, int]]:
    """(failed, all) requests that started in each `[start, end)` of `spans`, in one query."""
    parts: list[str] = []
    values: dict[str, Any] = {}
    for number, (start, end) in enumerate(spans):
        sums = f"""
            SELECT {number}, coalesce(sum(f.quantity) FILTER (WHERE f.status >= %(failure)s), 0)::bigint,
                   coalesce(sum(f.quantity), 0)::bigint
            FROM ({_CALLS}) AS f
        """  # noqa: S608  # our own names
        parts.append(sums.replace(")s", f"_{number})s"))
        values |= {f"{name}_{number}": value for name, value in _span(organization, start, end).items()}
    with connection.cursor() as cursor:
        cursor.execute(f"{' UNION ALL '.join(parts)} ORDER BY 1", values)
        return [(failed, total) for _number, failed, total in cursor.fetchall()]


def _buckets(organization: Organization, start: datetime, end: datetime) -> list[tuple[Any, ...]]:
    """(endpoint, method, whether it went well, bucket of duration, count)."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT endpoint, method, is_fine, bucket, sum(count)::bigint FROM (
                SELECT r.endpoint, r.method, r.status < %(failure)s AS is_fine, (h.n - 1)::int AS bucket, h.count
                FROM {_REQUEST_SUMS} r, unnest(r.histogram) WITH ORDINALITY AS h(count, n)
                WHERE r.organization_id = %(organization)s AND {_whole("r.hour")} AND h.count > 0
                UNION ALL
                SELECT q.endpoint, q.method, q.status < %(failure)s,
                       width_bucket(q.duration_us - 1, %(bounds)s::bigint[]), 1
                FROM {_REQUESTS} q
                WHERE q.organization_id = %(organization)s AND {_partly("q.started_at")}
            ) AS parts GROUP BY 1, 2, 3, 4
            """,  # noqa: S608  # our own tables' names
            _span(organization, start, end) | {"bounds": list(histogram.BOUNDS_US)},
        )
        return cursor.fetchall()


# --- Whole hours from rollups, the parts of hours at both ends from facts ---------------------------------------------


def _span(organization: Organization, start: datetime, end: datetime) -> dict[str, Any]:
    """The parameters of the fragments below: whole hours `[inner_start, inner_end)` between two parts of hours."""
    inner_start, inner_end = hour_of(start + HOUR - timedelta(microseconds=1)), hour_of(end)
    if inner_start >= inner_end:
        inner_start = inner_end = end
    return {
        "organization": organization.pk,
        "requests": REQUESTS,
        "failure": FIRST_FAILURE,
        "start": start,
        "inner_start": inner_start,
        "inner_end": inner_end,
        "end": end,
    }


def _whole(column: str) -> str:
    return f"{column} >= %(inner_start)s AND {column} < %(inner_end)s"


def _partly(column: str) -> str:
    return (
        f"({column} >= %(start)s AND {column} < %(inner_start)s"
        f" OR {column} >= %(inner_end)s AND {column} < %(end)s)"
    )


_REQUESTS, _REQUEST_SUMS, _METERS = (model._meta.db_table for model in (RequestRecord, RequestRollup, Meter))

_CALLS = f"""
    SELECT r.hour AS moment, r.method, r.endpoint, r.status, r.count AS quantity FROM {_REQUEST_SUMS} r
    WHERE r.organization_id = %(organization)s AND {_whole("r.hour")}
    UNION ALL
    SELECT q.started_at, q.method, q.endpoint, q.status, 1 FROM {_REQUESTS} q
    WHERE q.organization_id = %(organization)s AND {_partly("q.started_at")}
"""  # noqa: S608  # our own tables' names

_QUANTITIES = f"""
    SELECT r.hour AS moment, r.meter_id, r.quantity FROM {UsageRollup._meta.db_table} r
    WHERE r.organization_id = %(organization)s AND {_whole("r.hour")}
    UNION ALL
    SELECT e.occurred_at, e.meter_id, e.quantity FROM {UsageEvent._meta.db_table} e
    JOIN {_METERS} m ON m.id = e.meter_id AND {ADDS_UP}
    WHERE e.organization_id = %(organization)s AND {_partly("e.occurred_at")}
      AND NOT EXISTS (SELECT FROM {EventVoid._meta.db_table} v WHERE v.event_id = e.id)
    UNION ALL
    SELECT q.started_at, c.id, 1 FROM {_REQUESTS} q JOIN {_METERS} c ON c.slug = %(requests)s
    WHERE q.organization_id = %(organization)s AND q.is_counted AND {_partly("q.started_at")}
"""  # noqa: S608  # our own tables' names

_LEVELS = f"""
    SELECT r.hour, r.meter_id, r.value, r.quantity, r.moment, r.event_id FROM {HourlyLevel._meta.db_table} r
    WHERE r.organization_id = %(organization)s AND {_whole("r.hour")}
    UNION ALL
    SELECT p.moment, p.meter_id, p.value, p.quantity, p.moment, p.event_id
    FROM ({levels.valid(f"e.organization_id = %(organization)s AND {_partly('e.occurred_at')}")}) AS p
"""  # noqa: S608  # our own tables' names

_DIMENSIONS = {
    "meter": ("m.slug", _QUANTITIES, f"JOIN {_METERS} m ON m.id = f.meter_id"),
    "endpoint": ("f.method || ' ' || f.endpoint", _CALLS, ""),
    "method": ("f.method", _CALLS, ""),
    "status": ("(f.status / 100) || 'xx'", _CALLS, ""),
}
"""The key of each dimension, from which facts, and what else is read for it."""


def _milliseconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else round(microseconds / 1000, 2)
