"""The usage of an organization as pages show it: a time to look at, its chart, its tables, and where it leads."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import Organization
from metering import periods, quotas, statistics
from metering.models import REQUESTS, Meter, UsagePeriod
from metering.quotas import QuotaView
from metering.rollups import HOUR, hour_of
from superagent.foundation import charts

DAY = timedelta(days=1)
SHORTEST_BASIS = timedelta(hours=6)
"""A pace is not told from less."""
HOURLY_UP_TO = timedelta(days=2)

RANGES = ("current", "previous", "7d", "30d", "90d")


@dataclass(frozen=True, slots=True)
class Range:
    """A time to look at, `[start, end)`, and the one of the same length before it."""

    key: str
    label: str
    start: datetime
    end: datetime
    before: datetime

    @property
    def interval(self) -> timedelta:
        return HOUR if self.end - self.start <= HOURLY_UP_TO else DAY


@dataclass(frozen=True, slots=True)
class MeterRow:
    """One meter in the range: its quantity, and that of the time before."""

    meter: Meter
    quantity: int
    before: int


@dataclass(frozen=True, slots=True)
class EndpointRow:
    statistics: statistics.EndpointStatistics
    share: float


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What the dashboard shows of usage. `error_rate` is 0 to 1, None without calls."""

    quotas: quotas.Overview
    chart: charts.Drawing
    total_calls: int
    error_rate: float | None
    forecasts: dict[str, str]


def dashboard(organization: Organization, now: datetime) -> Dashboard:
    """Quotas, the chart of the present period, its totals, and the pace of each meter by its slug."""
    overview = quotas.overview(organization, now)
    period = overview.period
    failed, total = statistics.error_rate(organization, period.start, now + HOUR)
    return Dashboard(
        quotas=overview,
        chart=chart(organization, choose(organization, "current", now), REQUESTS, now),
        total_calls=total,
        error_rate=failed / total if total else None,
        forecasts={
            view.meter.slug: text for view in overview.quotas if (text := forecast(view, period, now))
        },
    )


def forecast(view: QuotaView, period: UsagePeriod, now: datetime) -> str:
    """When this pace reaches the limit, if that is before the period ends; else an empty text."""
    elapsed = now - period.start
    if not view.limit or not view.used or view.used >= view.limit or elapsed < SHORTEST_BASIS:
        return ""
    reached_at = now + elapsed * ((view.limit - view.used) / view.used)
    if reached_at >= period.end:
        return ""
    return _("At this pace you reach the limit on %(day)s.") % {"day": date_format(reached_at, "j F")}


def choose(organization: Organization, key: str, now: datetime) -> Range:
    """The range named `key`; an unknown name is the present period."""
    period = periods.ensure(organization=organization, now=now)
    soon = hour_of(now) + HOUR
    if key == "previous":
        earlier = UsagePeriod.objects.visible_to(organization).filter(start__lt=period.start).first()
        if earlier is not None:
            length = earlier.end - earlier.start
            return Range(key, _("Previous period"), earlier.start, earlier.end, earlier.start - length)
        return Range(key, _("Previous period"), period.start, period.start, period.start)
    if key in ("7d", "30d", "90d"):
        days = int(key[:-1])
        start = soon.replace(hour=0) - (days - 1) * DAY
        return Range(key, _("%(days)d days") % {"days": days}, start, soon, start - days * DAY)
    length = period.end - period.start
    return Range(
        "current", _("Present period"), period.start, max(soon, period.start + HOUR), period.start - length
    )


def chart(organization: Organization, shown: Range, meter_slug: str, now: datetime) -> charts.Drawing:
    """Stacked bars: requests by endpoint, or the quantities of another meter; the time before is dashed."""
    by_endpoint = meter_slug == REQUESTS
    dimension = "endpoint" if by_endpoint else "meter"
    points = statistics.series(
        organization, shown.before, shown.end, interval=shown.interval, dimension=dimension
    )
    points = [point for point in points if by_endpoint or point.key == meter_slug]
    starts = _bucket_starts(shown.start, shown.end, shown.interval)
    earlier = _bucket_starts(shown.before, shown.start, shown.interval)[: len(starts)]
    sums = {(point.start, point.key): point.quantity for point in points}
    keys = sorted({point.key for point in points if point.start >= starts[0]}) if starts else []
    before: dict[datetime, int] = {}
    for point in points:
        before[point.start] = before.get(point.start, 0) + point.quantity
    has_before = any(before.get(start) for start in earlier)
    is_hourly = shown.interval == HOUR
    axes = charts.Axes(
        title=_("Requests by endpoint") if by_endpoint else _("Quantity"),
        description=_("%(range)s, by %(unit)s, in UTC.")
        % {"range": shown.label, "unit": _("hour") if is_hourly else _("day")},
        buckets=tuple(
            charts.Bucket(
                date_format(start, "H:i" if is_hourly else "j M"),
                date_format(start, "j F, H:i" if is_hourly else "l, j F Y"),
                is_running=start <= now < start + shown.interval,
            )
            for start in starts
        ),
        bucket_heading=_("Hour") if is_hourly else _("Day"),
    )
    series = [charts.Series(key, tuple(sums.get((start, key), 0) for start in starts)) for key in keys]
    previous = [before.get(start, 0) for start in earlier] if has_before else []
    return charts.bars(axes, series, previous=previous)


def meter_rows(organization: Organization, shown: Range) -> list[MeterRow]:
    """Every active meter, and others that were used."""
    now_used = dict(statistics.by_meter(organization, shown.start, shown.end))
    before = dict(statistics.by_meter(organization, shown.before, shown.start))
    meters = Meter.objects.order_by("slug")
    return [
        MeterRow(meter, now_used.get(meter.slug, 0), before.get(meter.slug, 0))
        for meter in meters
        if meter.is_active or meter.slug in now_used
    ]


def endpoint_rows(found: statistics.RequestStatistics) -> list[EndpointRow]:
    return [EndpointRow(each, each.calls / found.total if found.total else 0) for each in found.by_endpoint]


def _bucket_starts(start: datetime, end: datetime, interval: timedelta) -> list[datetime]:
    first = hour_of(start) if interval == HOUR else hour_of(start).replace(hour=0)
    count = max(0, -((first - end) // interval))
    return [first + number * interval for number in range(count)]
