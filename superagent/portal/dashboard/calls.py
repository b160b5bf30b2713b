"""The calls of the last 30 days: the chart of the dashboard and the line of its first figure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, tzinfo

from django.urls import reverse
from django.utils import timezone

from accounts.models import Organization
from metering.analytics import ranges, usage_chart
from superagent.foundation import charts

LAST_DAYS = "30d"


@dataclass(frozen=True, slots=True)
class Calls:
    figures: usage_chart.Figures

    @property
    def has_any(self) -> bool:
        return bool(self.figures.series)

    @property
    def by_day(self) -> list[int]:
        days = zip(*(each.values for each in self.figures.series), strict=True)
        return [sum(int(value or 0) for value in day) for day in days]

    def draw(self, hidden: Collection[str]) -> charts.Drawing | None:
        """None without any call."""
        return self.figures.draw(hidden) if self.has_any else None


def clock_of(organization: Organization, now: datetime) -> datetime:
    """Calls are logged when they are made, also those of an organization whose own time a test clock moves."""
    return now if organization.test_clock_time is None else timezone.now()


def of_last_days(organization: Organization, now: datetime, zone: tzinfo) -> Calls:
    shown = ranges.choose(ranges.Periods(organization, now), LAST_DAYS, zone)
    usage = reverse("usage")  # with the hours of a day
    return Calls(
        usage_chart.figures(
            organization, shown, now, day_address=lambda day: f"{usage}?start={day}&end={day}"
        )
    )
