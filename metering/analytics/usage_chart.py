"""The chart of a time: calls by what they have in common, or the quantities of a meter, with the time before."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from accounts.models import Organization
from metering.analytics import statistics
from metering.analytics.ranges import Range
from metering.models import REQUESTS
from superagent.foundation import charts

GROUPS: dict[str, Promise] = {
    "endpoint": gettext_lazy("Endpoint"),
    "method": gettext_lazy("Method"),
    "status": gettext_lazy("Status"),
}
"""What calls can be grouped by: the hourly sums know no more of them."""

_TITLES = {
    "endpoint": gettext_lazy("Calls by endpoint"),
    "method": gettext_lazy("Calls by method"),
    "status": gettext_lazy("Calls by status"),
}
_STATUSES = {
    "2xx": gettext_lazy("2xx success"),
    "3xx": gettext_lazy("3xx redirect"),
    "4xx": gettext_lazy("4xx refused"),
    "5xx": gettext_lazy("5xx failed"),
}
Address = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a chart draws and its file says."""

    axes: charts.Axes
    series: list[charts.Series]
    previous: list[int]

    def draw(self, hidden: Collection[str] = ()) -> charts.Drawing:
        return charts.bars(self.axes, self.series, previous=self.previous, hidden=hidden)

    def file_rows(self, hidden: Collection[str] = ()) -> list[list[Any]]:
        return charts.file_rows(self.axes, self.series, self.previous, hidden)


def figures(
    organization: Organization,
    shown: Range,
    now: datetime,
    *,
    meter_slug: str = REQUESTS,
    group: str = "endpoint",
    day_address: Address | None = None,
) -> Figures:
    """Of the meter's quantities, or of calls by `group`, the largest first. A bar of a day leads to `day_address` of
    its date, such as 2026-11-20."""
    starts = shown.starts
    dimension = group if meter_slug == REQUESTS else "meter"

    def points_of(starts: list[datetime], start: datetime, end: datetime) -> list[statistics.Point]:
        found = statistics.in_buckets(organization, starts, start, end, dimension=dimension)
        return [point for point in found if dimension != "meter" or point.key == meter_slug]

    sums: dict[str, dict[datetime, int]] = {}
    for point in points_of(starts, shown.start, shown.end):
        sums.setdefault(point.key, {})[point.start] = point.quantity
    starts_before, end_before = shown.starts_before
    before = dict.fromkeys(starts_before, 0)
    for point in points_of(starts_before, shown.before, end_before):
        before[point.start] += point.quantity
    return Figures(
        axes=_axes(shown, starts, now, _title(meter_slug, group), day_address),
        series=[
            charts.Series(_label(dimension, key), tuple(values.get(start, 0) for start in starts))
            for key, values in sorted(sums.items(), key=lambda item: (-sum(item[1].values()), item[0]))
        ],
        previous=list(before.values()) if any(before.values()) else [],
    )


def _axes(
    shown: Range, starts: list[datetime], now: datetime, title: str, day_address: Address | None
) -> charts.Axes:
    buckets = []
    for number, start in enumerate(starts):
        local = start.astimezone(shown.zone)
        end = starts[number + 1] if number + 1 < len(starts) else shown.end
        if shown.is_hourly:
            label, in_full = date_format(local, "H:i"), date_format(local, "M j, H:i")
        else:
            label, in_full = _day_words(get_language(), local.date())
        buckets.append(
            charts.Bucket(
                label,
                in_full,
                href="" if shown.is_hourly or day_address is None else day_address(f"{local:%Y-%m-%d}"),
                is_running=start <= now < end,
                moment=local.isoformat(),
            )
        )
    unit = _("hour") if shown.is_hourly else _("day")
    return charts.Axes(
        title=title,
        description=_("%(range)s, by %(unit)s, in %(zone)s.")
        % {"range": shown.label, "unit": unit, "zone": shown.zone},
        buckets=tuple(buckets),
        bucket_heading=_("Hour") if shown.is_hourly else _("Day"),
    )


@lru_cache(maxsize=1000)
def _day_words(_language: str | None, day: date) -> tuple[str, str]:
    """A day's label and title in the present language: the same thirty for everybody, and slow to write."""
    return date_format(day, "M j"), date_format(day, "l, M j, Y")


def _title(meter_slug: str, group: str) -> str:
    return str(_TITLES[group]) if meter_slug == REQUESTS else _("Quantity")


def _label(dimension: str, key: str) -> str:
    if dimension == "meter":
        return _("Quantity")
    return str(_STATUSES.get(key, key)) if dimension == "status" else key
