"""What an organization's use looks like: from hourly sums, and from single requests for the parts of hours at both
ends."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Sum

from accounts.models import Organization
from metering import histogram
from metering.models import RequestRecord, RequestRollup, UsageRollup
from metering.rollups import HOUR, hour_of

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
    """(meter slug, quantity) of the hours that began in `[start, end)`, the hour of `start` included."""
    rows = UsageRollup.objects.visible_to(organization).filter(hour__gte=hour_of(start), hour__lt=end)
    sums = rows.values_list("meter__slug").annotate(total=Sum("quantity")).order_by("meter__slug")
    return [(slug, total) for slug, total in sums if total]


def series(
    organization: Organization, start: datetime, end: datetime, *, interval: timedelta, dimension: str
) -> list[Point]:
    """Sums by bucket: by `meter` (quantities) or by `endpoint` (calls). Buckets are whole hours or days of UTC."""
    unit = "hour" if interval == HOUR else "day"
    if dimension == "meter":
        key, value, table = "m.slug", "r.quantity", UsageRollup._meta.db_table
        join = "JOIN metering_meter m ON m.id = r.meter_id"
    else:
        key, value, table, join = (
            "r.method || ' /' || r.endpoint",
            "r.count",
            RequestRollup._meta.db_table,
            "",
        )
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT date_trunc(%s, r.hour, 'UTC') AS start, {key} AS key, sum({value})::bigint
            FROM {table} r {join}
            WHERE r.organization_id = %s AND r.hour >= %s AND r.hour < %s
            GROUP BY 1, 2 HAVING sum({value}) <> 0 ORDER BY 1, 2
            """,  # noqa: S608  # chosen from our own names above
            [unit, organization.pk, hour_of(start), end],
        )
        return [Point(*row) for row in cursor.fetchall()]


def error_rate(organization: Organization, start: datetime, end: datetime) -> tuple[int, int]:
    """(failed, all) requests of the hours that began in `[start, end)`."""
    rows = RequestRollup.objects.visible_to(organization).filter(hour__gte=hour_of(start), hour__lt=end)
    total = rows.aggregate(total=Sum("count"))["total"] or 0
    failed = rows.filter(status__gte=FIRST_FAILURE).aggregate(total=Sum("count"))["total"] or 0
    return failed, total


def _buckets(organization: Organization, start: datetime, end: datetime) -> list[tuple[Any, ...]]:
    """(endpoint, method, whether it went well, bucket of duration, count)."""
    inner_start, inner_end = hour_of(start + HOUR - timedelta(microseconds=1)), hour_of(end)
    if inner_start >= inner_end:
        inner_start = inner_end = start
        edges = [(start, end), (end, end)]
    else:
        edges = [(start, inner_start), (inner_end, end)]
    rollup, request = RequestRollup._meta.db_table, RequestRecord._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT endpoint, method, is_fine, bucket, sum(count)::bigint FROM (
                SELECT r.endpoint, r.method, r.status < %(failure)s AS is_fine, (h.n - 1)::int AS bucket, h.count
                FROM {rollup} r, unnest(r.histogram) WITH ORDINALITY AS h(count, n)
                WHERE r.organization_id = %(organization)s AND r.hour >= %(inner_start)s AND r.hour < %(inner_end)s
                  AND h.count > 0
                UNION ALL
                SELECT q.endpoint, q.method, q.status < %(failure)s,
                       width_bucket(q.duration_us - 1, %(bounds)s::bigint[]), 1
                FROM {request} q
                WHERE q.organization_id = %(organization)s
                  AND (q.started_at >= %(first)s AND q.started_at < %(first_end)s
                       OR q.started_at >= %(last)s AND q.started_at < %(last_end)s)
            ) AS parts GROUP BY 1, 2, 3, 4
            """,  # noqa: S608  # our own tables' names
            {
                "failure": FIRST_FAILURE,
                "organization": organization.pk,
                "inner_start": inner_start,
                "inner_end": inner_end,
                "bounds": list(histogram.BOUNDS_US),
                "first": edges[0][0],
                "first_end": edges[0][1],
                "last": edges[1][0],
                "last_end": edges[1][1],
            },
        )
        return cursor.fetchall()


def _milliseconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else round(microseconds / 1000, 2)
