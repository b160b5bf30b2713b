"""Portal pages: usage, and the request log."""

import csv
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts import cursors
from accounts.access import PortalRequest, portal_view
from accounts.models import ApiKey, User
from accounts.roles import Scope
from metering import overview, quotas, requests, statistics
from metering.forms import RequestFilters
from metering.models import REQUESTS, RequestRecord
from superagent.foundation import clock


@require_safe
@portal_view(scope=Scope.USAGE_READ)
def usage(request: PortalRequest) -> HttpResponse:
    organization, now = request.organization, clock.now(request.organization)
    shown = overview.choose(organization, request.GET.get("range", "current"), now)
    rows = overview.meter_rows(organization, shown)
    slugs = {row.meter.slug: row.meter for row in rows}
    meter = slugs.get(request.GET.get("meter", REQUESTS)) or slugs.get(REQUESTS)
    found = statistics.requests(organization, shown.start, shown.end)
    before = statistics.requests(organization, *shown.same_part_before(now))
    current = quotas.overview(organization, now)
    context = {
        "now": now,
        "range": shown,
        "ranges": overview.ranges(organization, shown, now),
        "meters": rows,
        "meter": meter,
        "chart": overview.chart(organization, shown, meter.slug if meter else REQUESTS, now),
        "chart_note": shown.note,
        "is_by_endpoint": meter is None or meter.slug == REQUESTS,
        "found": found,
        "before": before if before.total else None,
        "endpoints": overview.endpoint_rows(found),
        "is_live": shown.key == "current",
        "quotas": [(view, overview.forecast(view, current.period, now)) for view in current.quotas],
        "period": current.period,
        "has_usage": bool(found.total or any(row.quantity for row in rows)),
        "stream_url": reverse("api-usage-stream"),
    }
    return render(request, "metering/usage.html", context)


@require_safe
@portal_view(scope=Scope.USAGE_READ)
def usage_export(request: PortalRequest) -> HttpResponse:
    """What the page shows, as CSV: a line for each bucket, meter or endpoint."""
    organization, now = request.organization, clock.now(request.organization)
    shown = overview.choose(organization, request.GET.get("range", "current"), now)
    response = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="usage-{shown.start:%Y-%m-%d}.csv"'},
    )
    writer = csv.writer(response)
    writer.writerow(["start", "dimension", "name", "quantity"])
    for dimension in ("meter", "endpoint"):
        for point in statistics.series(
            organization, shown.start, shown.end, interval=shown.interval, dimension=dimension
        ):
            writer.writerow([point.start.isoformat(), dimension, _safe(point.key), point.quantity])
    return response


@require_safe
@portal_view(scope=Scope.USAGE_READ)
def request_log(request: PortalRequest) -> HttpResponse:
    organization, now = request.organization, clock.now(request.organization)
    form = RequestFilters(request.GET or None, organization=organization)
    wanted: dict[str, Any] = form.cleaned_data if form.is_valid() else {}
    page = cursors.page(requests.matching(organization, wanted, now), request.GET)
    keys = ApiKey.objects.visible_to(organization).in_bulk(
        {row.api_key_id for row in page.rows if row.api_key_id}
    )
    context = {
        "form": form,
        "page": page,
        "rows": [(row, keys.get(row.api_key_id)) for row in page.rows],
        "is_filtered": any(value for name, value in wanted.items() if name != "since"),
        "now": now,
    }
    return render(request, "metering/requests.html", context)


@require_safe
@portal_view(scope=Scope.USAGE_READ)
def request_detail(request: PortalRequest, record_id: UUID) -> HttpResponse:
    organization = request.organization
    record = RequestRecord.objects.visible_to(organization).filter(pk=record_id).first()
    if record is None:
        raise Http404
    key = ApiKey.objects.visible_to(organization).filter(pk=record.api_key_id).first()
    user = User.objects.filter(pk__in=[record.user_id], memberships__organization=organization).first()
    context = {"record": record, "key": key, "caller": user, "curl": requests.curl(record)}
    return render(request, "metering/request.html", context)


def _safe(text: str) -> str:
    """A spreadsheet must not take a name for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
