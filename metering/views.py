"""Portal pages: usage, and the request log."""

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts import roles
from accounts.access import PortalRequest, in_own_time_zone, portal_view
from accounts.models import ApiKey, User
from accounts.roles import Scope
from metering.analytics import overview, ranges, request_log, statistics, usage_chart
from metering.analytics.ranges import Periods, Range
from metering.analytics.usage_chart import Figures
from metering.forms import OwnDays, RequestFilters
from metering.models import REQUESTS, Meter, RequestRecord
from metering.quotas import quota_status
from superagent.foundation import charts, clock, cursors


@dataclass(frozen=True, slots=True)
class Shown:
    """What the address of a page of use asks for."""

    range: Range
    days: OwnDays
    meter: str
    group: str
    hidden: tuple[str, ...]

    @property
    def is_refused(self) -> bool:
        return self.days.is_bound and not self.days.is_valid()


@require_safe
@portal_view(scope=Scope.USAGE_READ)
@in_own_time_zone
def usage(request: PortalRequest) -> HttpResponse:
    organization, now = request.organization, clock.now(request.organization)
    known = Periods(organization, now)
    shown = _shown(request, known)
    current = quota_status.in_period(known.current)
    rows = overview.meter_rows(organization, shown.range, current)
    slugs = {row.meter.slug: row.meter for row in rows}
    meter = slugs.get(shown.meter) or slugs.get(REQUESTS)
    found = statistics.requests(organization, shown.range.start, shown.range.end)
    before = statistics.requests(organization, *shown.range.same_part_before(now))
    context = {
        "now": now,
        "range": shown.range,
        "ranges": ranges.named(known, shown.range),
        "days": shown.days,
        "meters": rows,
        "has_costs": shown.range.period is not None
        and roles.allows(request.membership.role, Scope.BILLING_READ),
        "meter": meter,
        "groups": usage_chart.GROUPS.items(),
        "group": shown.group,
        "chart": _figures(request, shown, meter, now).draw(shown.hidden),
        "is_by_group": meter is None or meter.slug == REQUESTS,
        "found": found,
        "before": before if before.total else None,
        "endpoints": overview.endpoint_rows(found),
        "is_live": shown.range.key == "current",
        "quotas": [(view, overview.forecast(view, current.period, now)) for view in current.quotas],
        "period": current.period,
        "has_usage": bool(found.total or any(row.quantity for row in rows)),
        "stream_url": reverse("api:usage-stream"),
    }
    return render(request, "metering/usage.html", context)


@require_safe
@portal_view(scope=Scope.USAGE_READ)
@in_own_time_zone
def usage_export(request: PortalRequest) -> HttpResponse:
    """What the page shows, as CSV: a line for each bucket, meter or endpoint."""
    organization, now = request.organization, clock.now(request.organization)
    shown = _shown(request, Periods(request.organization, now))
    if shown.is_refused:
        return _back_to_page(request)
    rows: list[list[Any]] = [["start", "dimension", "name", "quantity"]]
    time = shown.range
    for dimension in ("meter", "endpoint"):
        for point in statistics.in_buckets(
            organization, time.starts, time.start, time.end, dimension=dimension
        ):
            moment = point.start.astimezone(time.zone).isoformat()
            rows.append([moment, dimension, point.key, point.quantity])
    return _csv(rows, f"usage-{_days_of(time)}")


@require_safe
@portal_view(scope=Scope.USAGE_READ)
@in_own_time_zone
def usage_chart_export(request: PortalRequest) -> HttpResponse:
    """What the chart shows, as CSV: a line for each bar, a column for each color."""
    now = clock.now(request.organization)
    shown = _shown(request, Periods(request.organization, now))
    if shown.is_refused:
        return _back_to_page(request)
    meter = Meter.objects.filter(slug=shown.meter).first()
    rows = _figures(request, shown, meter, now).file_rows(shown.hidden)
    name = f"calls-by-{shown.group}" if meter is None or meter.slug == REQUESTS else meter.slug
    return _csv(rows, f"{name}-{_days_of(shown.range)}")


@require_safe
@portal_view(scope=Scope.USAGE_READ)
@in_own_time_zone
def request_list(request: PortalRequest) -> HttpResponse:
    organization, now = request.organization, clock.now(request.organization)
    form = RequestFilters(request.GET or None, organization=organization)
    shown = cursors.filtered(
        form, lambda wanted: request_log.matching(organization, wanted, now), request.GET, always=["since"]
    )
    page = shown["page"]
    keys = ApiKey.objects.visible_to(organization).in_bulk(
        {row.api_key_id for row in page.rows if row.api_key_id}
    )
    rows = [(row, keys.get(row.api_key_id)) for row in page.rows]
    return render(request, "metering/requests.html", shown | {"rows": rows, "now": now})


@require_safe
@portal_view(scope=Scope.USAGE_READ)
@in_own_time_zone
def request_detail(request: PortalRequest, record_id: UUID) -> HttpResponse:
    organization = request.organization
    record = RequestRecord.objects.visible_to(organization).filter(pk=record_id).first()
    if record is None:
        raise Http404
    key = ApiKey.objects.visible_to(organization).filter(pk=record.api_key_id).first()
    user = User.objects.filter(pk__in=[record.user_id], memberships__organization=organization).first()
    context = {"record": record, "key": key, "caller": user, "curl": request_log.curl(record)}
    return render(request, "metering/request.html", context)


def _shown(request: PortalRequest, known: Periods) -> Shown:
    """Days of one's own, if there are any; what is refused of them shows the current period, and why."""
    query, zone, now = request.GET, request.user.zone, known.now
    is_own = "start" in query or "end" in query
    days = OwnDays(query if is_own else None, today=now.astimezone(zone).date())
    if is_own and days.is_valid():
        first, last = days.cleaned_data["start"], days.cleaned_data["end"]
        time = ranges.own(first=first, last=last, now=now, zone=zone)
    else:
        key = "current" if is_own else query.get("range", "current")
        time = ranges.choose(known, key, zone)
        local_end = min(time.end, now).astimezone(zone)
        days.initial = {"start": time.start.astimezone(zone).date(), "end": local_end.date()}
    group = query.get("group", "")
    return Shown(
        range=time,
        days=days,
        meter=query.get("meter", REQUESTS),
        group=group if group in usage_chart.GROUPS else "endpoint",
        hidden=charts.hidden_in(query),
    )


def _figures(request: PortalRequest, shown: Shown, meter: Meter | None, now: datetime) -> Figures:
    """A bar of a day leads to its hours, of the same meter in the same groups."""
    kept = urlencode({name: request.GET[name] for name in ("meter", "group") if name in request.GET})
    address = f"{reverse('usage')}?{kept}{'&' if kept else ''}"

    def hours_of(day: str) -> str:
        return f"{address}start={day}&end={day}"

    return usage_chart.figures(
        request.organization,
        shown.range,
        now,
        meter_slug=meter.slug if meter else REQUESTS,
        group=shown.group,
        day_address=hours_of,
    )


def _back_to_page(request: PortalRequest) -> HttpResponse:
    """Which says what is wrong with the days."""
    return redirect(f"{reverse('usage')}?{request.GET.urlencode()}")


def _days_of(time: Range) -> str:
    last = (time.end - timedelta(microseconds=1)).astimezone(time.zone)
    return f"{time.start.astimezone(time.zone):%Y-%m-%d}-{last:%Y-%m-%d}"


def _csv(rows: list[list[Any]], name: str) -> HttpResponse:
    response = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )
    csv.writer(response).writerows(
        [_safe(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return response


def _safe(text: str) -> str:
    """A spreadsheet must not take a name for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
