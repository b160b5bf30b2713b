"""The usage of an organization as pages show it: its tables, what it costs, and where it leads."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import Organization
from metering.analytics import statistics
from metering.analytics.ranges import Range
from metering.models import Meter, UsagePeriod
from metering.quotas import quota_status
from metering.quotas.quota_status import Overview, QuotaStatus
from metering.rating import rating

MICROSECOND = timedelta(microseconds=1)
SHORTEST_BASIS = timedelta(hours=6)
"""A pace is not told from less."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What is charged for use beyond the allowance, in minor units."""

    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class MeterRow:
    """One meter in the range: its quantity, that of the time before, and what is charged for it beside the plan's
    price, which is known of usage periods only."""

    meter: Meter
    quantity: int
    before: int
    cost: Cost | None = None


@dataclass(frozen=True, slots=True)
class EndpointRow:
    statistics: statistics.EndpointStatistics
    share: float


def forecast(view: QuotaStatus, period: UsagePeriod, now: datetime) -> str:
    """When this pace reaches the limit, if that is before the period ends; else an empty text. Levels have no pace."""
    if not view.meter.adds_up:
        return ""
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


def overage_to_come(view: QuotaStatus, start: datetime, end: datetime, now: datetime) -> Overage:
    """What this pace adds to the overage from now until `end`, of a period that began at `start`. Levels have none."""
    elapsed = now - start
    if not view.meter.adds_up or view.limit is None or view.is_hard or elapsed < SHORTEST_BASIS or now >= end:
        return Overage(0, 0)
    in_the_end = view.used * ((end - start) // MICROSECOND) // (elapsed // MICROSECOND)
    quantity = max(0, in_the_end - max(view.used, view.limit))
    return Overage(quantity, rating.amount(quantity, view.overage_rate))


def meter_rows(organization: Organization, shown: Range, open_period: Overview) -> list[MeterRow]:
    """Every active meter, and others that were used. Of a usage period it is what the period itself has counted, the
    figures that are billed."""
    costs: dict[str, Cost] = {}
    if shown.period is None:
        now_used = dict(statistics.by_meter(organization, shown.start, shown.end))
        before = dict(statistics.by_meter(organization, shown.before, shown.start))
    else:
        is_open = shown.period == open_period.period
        quotas = (open_period if is_open else quota_status.in_period(shown.period)).quotas
        now_used = _used(quotas)
        before = _used(quota_status.in_period(shown.earlier).quotas) if shown.earlier else {}
        costs = {view.meter.slug: Cost(view.overage_amount, view.currency) for view in quotas}
    meters = Meter.objects.order_by("slug")
    return [
        MeterRow(meter, now_used.get(meter.slug, 0), before.get(meter.slug, 0), costs.get(meter.slug))
        for meter in meters
        if meter.is_active or meter.slug in now_used
    ]


def _used(quotas: list[QuotaStatus]) -> dict[str, int]:
    """{meter slug: units}, without meters that were not used."""
    return {view.meter.slug: view.used for view in quotas if view.used}


def endpoint_rows(found: statistics.RequestStatistics) -> list[EndpointRow]:
    return [EndpointRow(each, each.calls / found.total if found.total else 0) for each in found.by_endpoint]
