"""The usage of an organization as pages show it: a time to look at, its chart, its tables, and where it leads."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import Organization
from metering import periods, quotas, rating, statistics
from metering.models import REQUESTS, Meter, UsagePeriod
from metering.quotas import QuotaView
from metering.rollups import HOUR, hour_of
from superagent.foundation import charts

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
SHORTEST_BASIS = timedelta(hours=6)
"""A pace is not told from less."""
HOURLY_UP_TO = timedelta(days=2)

RANGES = ("current", "previous", "7d", "30d", "90d")


@dataclass(frozen=True, slots=True)
class Range:
    """A time to look at, `[start, end)`, and the one before it, `[before, start)`. `period` and `earlier` are the usage
    periods that these are, if they are."""

    key: str
    label: str
    start: datetime
    end: datetime
    before: datetime
    period: UsagePeriod | None = None
    earlier: UsagePeriod | None = None

    @property
    def interval(self) -> timedelta:
        return HOUR if self.end - self.start <= HOURLY_UP_TO else DAY

    @property
    def short_label(self) -> str:
        """For a row of buttons; the label begins with it."""
        return {"current": _("Current"), "previous": _("Previous")}.get(self.key, self.label)

    @property
    def label_before(self) -> str:
        if self.key == "current":
            return _("Previous period")
        return _("Period before") if self.period else _("%(range)s before") % {"range": self.label}

    @property
    def note(self) -> str:
        """About the first bucket, where it is cut."""
        if self.start == _bucket_start(self.start, self.interval):
            return ""
        return _("The first bar begins with the period, at %(time)s UTC.") % {
            "time": date_format(self.start, "H:i")
        }

    def same_part_before(self, now: datetime) -> tuple[datetime, datetime]:
        """Of the time before as much as has passed of this one: what a figure of a running range compares with."""
        return self.before, min(self.before + (min(self.end, now) - self.start), self.start)


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


def forecast(view: QuotaView, period: UsagePeriod, now: datetime) -> str:
    """When this pace reaches the limit, if that is before the period ends; else an empty text."""
    elapsed = now - period.start
    if not view.limit or not view.used or view.used >= view.limit or elapsed < SHORTEST_BASIS:
        return ""
    # Whole numbers, compared before they become a date: a little of much would be used up after the year 9999.
    wait_us = elapsed // MICROSECOND * (view.limit - view.used) // view.used
    if wait_us >= (period.end - now) // MICROSECOND:
        return ""
    reached_at = now + wait_us * MICROSECOND
    return _("At this pace you reach the limit on %(day)s.") % {"day": date_format(reached_at, "M j, Y")}


@dataclass(frozen=True, slots=True)
class Overage:
    quantity: int
    amount: int


def overage_to_come(view: QuotaView, start: datetime, end: datetime, now: datetime) -> Overage:
    """What this pace adds to the overage from now until `end`, of a period that began at `start`."""
    elapsed = now - start
    if view.limit is None or view.is_hard or elapsed < SHORTEST_BASIS or now >= end:
        return Overage(0, 0)
    in_the_end = view.used * ((end - start) // MICROSECOND) // (elapsed // MICROSECOND)
    quantity = max(0, in_the_end - max(view.used, view.limit))
    return Overage(quantity, rating.amount(quantity, view.overage_rate))


def choose(organization: Organization, key: str, now: datetime) -> Range:
    """The range named `key`; an unknown name is the current period."""
    soon = hour_of(now) + HOUR
    if key in ("7d", "30d", "90d"):
        days = int(key[:-1])
        start = soon.replace(hour=0) - (days - 1) * DAY
        return Range(key, _("%(days)d days") % {"days": days}, start, soon, start - days * DAY)
    period = periods.ensure(organization=organization, now=now)
    earlier = period_before(organization, period)
    if key == "previous":
        if earlier is None:
            return Range(key, _("Previous period"), period.start, period.start, period.start)
        return _of_period(
            key, _("Previous period"), earlier, period_before(organization, earlier), earlier.end
        )
    end = max(soon, hour_of(period.start) + HOUR)
    return _of_period("current", _("Current period"), period, earlier, end)


def ranges(organization: Organization, shown: Range, now: datetime) -> list[Range]:
    """What there is to choose from: no previous period in the first one, unless it is `shown`."""
    every = [choose(organization, key, now) for key in RANGES]
    return [each for each in every if each.start < each.end or each.key == shown.key]


def period_before(organization: Organization, period: UsagePeriod) -> UsagePeriod | None:
    periods_before = UsagePeriod.objects.visible_to(organization).filter(start__lt=period.start)
    return periods_before.order_by("-start").first()


def _of_period(
    key: str, label: str, period: UsagePeriod, earlier: UsagePeriod | None, end: datetime
) -> Range:
    before = earlier.start if earlier else period.start - (period.end - period.start)
    return Range(key, label, period.start, end, before, period, earlier)


def chart(organization: Organization, shown: Range, meter_slug: str, now: datetime) -> charts.Drawing:
    """Stacked bars: requests by endpoint, or the quantities of another meter; the time before is dashed."""
    by_endpoint = meter_slug == REQUESTS
    dimension = "endpoint" if by_endpoint else "meter"

    def points_of(start: datetime, end: datetime) -> list[statistics.Point]:
        found = statistics.series(organization, start, end, interval=shown.interval, dimension=dimension)
        return [point for point in found if by_endpoint or point.key == meter_slug]

    points = points_of(shown.start, shown.end)
    starts = _bucket_starts(shown.start, shown.end, shown.interval)
    earlier = _bucket_starts(shown.before, shown.start, shown.interval)[: len(starts)]
    sums = {(point.start, point.key): point.quantity for point in points}
    keys = sorted({point.key for point in points})
    before: dict[datetime, int] = {}
    for point in points_of(shown.before, shown.start):
        before[point.start] = before.get(point.start, 0) + point.quantity
    has_before = any(before.get(start) for start in earlier)
    is_hourly = shown.interval == HOUR
    axes = charts.Axes(
        title=_("Requests by endpoint") if by_endpoint else _("Quantity"),
        description=_("%(range)s, by %(unit)s, in UTC.")
        % {"range": shown.label, "unit": _("hour") if is_hourly else _("day")},
        buckets=tuple(
            charts.Bucket(
                date_format(start, "H:i" if is_hourly else "M j"),
                date_format(start, "M j, H:i" if is_hourly else "l, M j, Y"),
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
    """Every active meter, and others that were used. Of a usage period it is what the period itself has counted, the
    figures that are billed."""
    if shown.period is None:
        now_used = dict(statistics.by_meter(organization, shown.start, shown.end))
        before = dict(statistics.by_meter(organization, shown.before, shown.start))
    else:
        now_used = quotas.used_in(shown.period)
        before = quotas.used_in(shown.earlier) if shown.earlier else {}
    meters = Meter.objects.order_by("slug")
    return [
        MeterRow(meter, now_used.get(meter.slug, 0), before.get(meter.slug, 0))
        for meter in meters
        if meter.is_active or meter.slug in now_used
    ]


def endpoint_rows(found: statistics.RequestStatistics) -> list[EndpointRow]:
    return [EndpointRow(each, each.calls / found.total if found.total else 0) for each in found.by_endpoint]


def _bucket_starts(start: datetime, end: datetime, interval: timedelta) -> list[datetime]:
    first = _bucket_start(start, interval)
    count = max(0, -((first - end) // interval))
    return [first + number * interval for number in range(count)]


def _bucket_start(moment: datetime, interval: timedelta) -> datetime:
    return hour_of(moment) if interval == HOUR else hour_of(moment).replace(hour=0)
