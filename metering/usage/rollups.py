"""Hourly sums: kept in the transaction that counts, proved against the facts by a job.

Rows are always written in the order of their keys, after quotas and facts, so that two transactions never wait for
each other in a circle.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from metering.models import RequestRollup, UsageRollup
from metering.usage import histogram
from superagent.foundation.identifiers import uuid7

HOUR = timedelta(hours=1)

UsageKey = tuple[UUID, UUID, datetime]
"""Organization, meter, hour."""
RequestKey = tuple[UUID, datetime, str, str, int]
"""Organization, hour, endpoint, method, status."""


@dataclass(slots=True)
class RequestSum:
    count: int = 0
    counted: int = 0
    duration_us: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    histogram: list[int] = field(default_factory=histogram.empty)


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def add_usage(sums: dict[UsageKey, tuple[int, int]]) -> None:
    """Add {key: (quantity, events)}; both may be negative."""
    if not sums:
        return
    rows = [(uuid7(), *key, quantity, events) for key, (quantity, events) in sorted(sums.items())]
    table = UsageRollup._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {table} AS r (id, organization_id, meter_id, hour, quantity, event_count)
            SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::timestamptz[], %s::bigint[], %s::bigint[])
            ON CONFLICT (organization_id, meter_id, hour) DO UPDATE
            SET quantity = r.quantity + excluded.quantity, event_count = r.event_count + excluded.event_count
            """,  # noqa: S608  # our own table's name
            [list(column) for column in zip(*rows, strict=True)],
        )


def add_requests(sums: dict[RequestKey, RequestSum]) -> None:
    if not sums:
        return
    rows = [
        (
            uuid7(), *key, each.count, each.counted, each.duration_us, each.request_bytes, each.response_bytes,
            "{" + ",".join(map(str, each.histogram)) + "}",
        )
        for key, each in sorted(sums.items(), key=lambda item: item[0])
    ]  # fmt: skip
    table = RequestRollup._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {table} AS r (id, organization_id, hour, endpoint, method, status, count, counted,
                                      duration_us, request_bytes, response_bytes, histogram)
            SELECT id, organization_id, hour, endpoint, method, status, count, counted,
                   duration_us, request_bytes, response_bytes, histogram::bigint[]
            FROM unnest(%s::uuid[], %s::uuid[], %s::timestamptz[], %s::text[], %s::text[], %s::int[], %s::bigint[],
                        %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[])
                 AS g(id, organization_id, hour, endpoint, method, status, count, counted,
                      duration_us, request_bytes, response_bytes, histogram)
            ON CONFLICT (organization_id, hour, endpoint, method, status) DO UPDATE SET
                count = r.count + excluded.count,
                counted = r.counted + excluded.counted,
                duration_us = r.duration_us + excluded.duration_us,
                request_bytes = r.request_bytes + excluded.request_bytes,
                response_bytes = r.response_bytes + excluded.response_bytes,
                histogram = ARRAY(SELECT a + b FROM unnest(r.histogram, excluded.histogram)
                                  WITH ORDINALITY AS h(a, b, n) ORDER BY n)
            """,  # noqa: S608  # our own table's name
            [list(column) for column in zip(*rows, strict=True)],
        )
