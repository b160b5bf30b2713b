"""A time to look at: a usage period, the last days, or days of the reader's own choice, and the time before it.

Days begin at midnight in the reader's time zone. Use is kept by hours of UTC; where midnight falls within one of them,
that hour belongs to the day in which it began.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Organization
from metering.models import UsagePeriod
from metering.quotas import periods
from metering.usage.rollups import HOUR, hour_of
from superagent.foundation.prepared import Given, Prepared

DAY = timedelta(days=1)
HOURLY_UP_TO = timedelta(days=2)
LONGEST_DAYS = 400
FIRST_DAY = date(2020, 1, 1)
"""Nothing was counted before; and what comes before it can be compared with."""
OWN = "own"
NAMED = ("current", "previous", "7d", "30d", "90d")


@dataclass(frozen=True, slots=True)
class Range:
    """A time to look at, `[start, end)`, and the one before it, `[before, start)`. `period` and `earlier` are the usage
    periods that these are, if they are."""

    key: str
    label: str
    start: datetime
    end: datetime
    before: datetime
    zone: tzinfo = UTC
    period: UsagePeriod | None = None
    earlier: UsagePeriod | None = None

    @property
    def is_hourly(self) -> bool:
        return self.end - self.start <= HOURLY_UP_TO

    @property
    def short_label(self) -> str:
        """For a row of buttons; the label begins with it."""
        return {"current": _("Current"), "previous": _("Previous")}.get(self.key, self.label)

    @property
    def label_before(self) -> str:
        if self.key == "current":
            return _("Previous period")
        if self.key == OWN:
            days = round((self.start - self.before) / DAY)
            return ngettext("Day before", "%(days)d days before", days) % {"days": days}
        return _("Period before") if self.period else _("%(range)s before") % {"range": self.label}

    @property
    def note(self) -> str:
        """What the figures of a bar leave out, or take in."""
        notes = []
        starts = self.starts
        if starts and starts[0] < self.start:
            moment = date_format(self.start.astimezone(self.zone), "H:i")
            notes.append(_("The first bar begins at %(time)s.") % {"time": moment})
        if not self.is_hourly and any(start != hour_of(start) for start in starts[1:]):
            notes.append(
                _("Use is kept by hours of UTC; one that crosses midnight is in the day in which it began.")
            )
        return " ".join(notes)

    @property
    def starts(self) -> list[datetime]:
        """Where each bar begins; the first may do so before the range."""
        return self._starts_between(self.start, self.end)

    @property
    def starts_before(self) -> tuple[list[datetime], datetime]:
        """Of the time before, at most as many; and where the last of these bars ends."""
        count = len(self.starts)
        every = self._starts_between(self.before, self.start)
        return every[:count], every[count] if len(every) > count else self.start

    def same_part_before(self, now: datetime) -> tuple[datetime, datetime]:
        """Of the time before as much as has passed of this one: what a figure of a running range compares with."""
        return self.before, min(self.before + (min(self.end, now) - self.start), self.start)

    def _starts_between(self, start: datetime, end: datetime) -> list[datetime]:
        found = []
        if self.is_hourly:
            moment = hour_of(start)
            while moment < end:
                found.append(moment)
                moment += HOUR
        else:
            day = start.astimezone(self.zone).date()
            while (moment := midnight(day, self.zone)) < end:
                found.append(moment)
                day += DAY
        return found


def midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True)
class Periods:
    """The usage periods of an organization at `now`, each read once and only when it is needed."""

    organization: Organization
    now: datetime

    @cached_property
    def current(self) -> UsagePeriod:
        return periods.ensure(organization=self.organization, now=self.now)

    @cached_property
    def previous(self) -> UsagePeriod | None:
        return period_before(self.organization, self.current)

    @cached_property
    def before_previous(self) -> UsagePeriod | None:
        return period_before(self.organization, self.previous) if self.previous else None


def choose(known: Periods, key: str, zone: tzinfo = UTC) -> Range:
    """The range named `key`; an unknown name is the current period."""
    now = known.now
    soon = hour_of(now) + HOUR
    if key in ("7d", "30d", "90d"):
        days = int(key[:-1])
        first = now.astimezone(zone).date() - (days - 1) * DAY
        start, before = midnight(first, zone), midnight(first - days * DAY, zone)
        return Range(key, _("%(days)d days") % {"days": days}, start, soon, before, zone)
    period, earlier = known.current, known.previous
    if key == "previous":
        label = _("Previous period")
        if earlier is None:
            return Range(key, label, period.start, period.start, period.start, zone)
        return _of_period(key, label, earlier, known.before_previous, earlier.end, zone)
    end = max(soon, hour_of(period.start) + HOUR)
    return _of_period("current", _("Current period"), period, earlier, end, zone)


def own(*, first: date, last: date, now: datetime, zone: tzinfo) -> Range:
    """From the beginning of the day `first` to the end of `last`, or until now; before it, as many days."""
    days = last - first + DAY
    end = min(midnight(last + DAY, zone), hour_of(now) + HOUR)
    start, before = midnight(first, zone), midnight(first - days, zone)
    label = date_format(first, "M j, Y")
    if first != last:
        label = _("%(first)s – %(last)s") % {"first": label, "last": date_format(last, "M j, Y")}
    return Range(OWN, label, start, max(start, end), before, zone)


def named(known: Periods, shown: Range) -> list[Range]:
    """What there is to choose from: no previous period in the first one, unless it is `shown`."""
    every = [choose(known, key, shown.zone) for key in NAMED]
    return [each for each in every if each.start < each.end or each.key == shown.key]


def period_before(organization: Organization, period: UsagePeriod) -> UsagePeriod | None:
    return _before.first(organization=organization.pk, start=period.start)


_before: Prepared[UsagePeriod] = Prepared(
    lambda: UsagePeriod.objects.filter(organization=Given("organization"), start__lt=Given("start")).order_by(
        "-start"
    )[:1]
)


def _of_period(
    key: str, label: str, period: UsagePeriod, earlier: UsagePeriod | None, end: datetime, zone: tzinfo
) -> Range:
    before = earlier.start if earlier else period.start - (period.end - period.start)
    return Range(key, label, period.start, end, before, zone, period, earlier)
