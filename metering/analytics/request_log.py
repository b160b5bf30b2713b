"""The request log: which rows, and how one is told."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, QuerySet
from django.utils import timezone

from accounts.models import Organization
from metering.analytics.statistics import FIRST_FAILURE
from metering.models import RequestRecord
from metering.usage import partitions

SINCE = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}


def matching(organization: Organization, wanted: dict[str, Any], now: datetime) -> QuerySet[RequestRecord]:
    """The organization's requests under the cleaned values of forms.RequestFilters; 24 hours, if nothing is said."""
    rows = RequestRecord.objects.visible_to(organization)
    if (length := SINCE.get(wanted.get("since") or "24h")) is not None:
        rows = rows.filter(started_at__gte=now - length)
    status = wanted.get("status") or ""
    if status == "failed":
        rows = rows.filter(status__gte=FIRST_FAILURE)
    elif status:
        first = int(status[0]) * 100
        rows = rows.filter(status__gte=first, status__lt=first + 100)
    if method := wanted.get("method"):
        rows = rows.filter(method=method)
    if endpoint := wanted.get("endpoint"):
        rows = rows.filter(endpoint="/" + endpoint.lstrip("/"))
    if key := wanted.get("key"):
        rows = rows.filter(api_key_id=key.pk)
    return rows


def curl(record: RequestRecord) -> str:
    """The request as a command to try again, with a placeholder for the key; the body is not kept."""
    parts = ["curl"]
    if record.method == "HEAD":
        parts.append("--head")
    elif record.method != "GET" or record.request_bytes:  # with a body, curl would make a POST of a GET
        parts.append(f"-X {record.method}")
    parts.append(f"'{settings.PUBLIC_URL}{record.path.replace(chr(39), '%27')}'")
    lines = [" ".join(parts), "  -H 'Authorization: Bearer YOUR_API_KEY'"]
    if record.request_bytes:
        lines += ["  -H 'Content-Type: application/json'", "  -d '{ }'"]
    return " \\\n".join(lines)


def of_last_day(organization: Organization, key_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Calls of the last 24 hours, by real time, by the id of the key: fills the port accounts.key_traffic.last_day."""
    since = partitions.lowest_id(timezone.now() - timedelta(hours=24))
    rows = RequestRecord.objects.visible_to(organization).filter(pk__gte=since, api_key_id__in=key_ids)
    return dict(rows.values_list("api_key_id").annotate(calls=Count("pk")).order_by())
