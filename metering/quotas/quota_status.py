"""Quotas as people and programs ask for them: how much is used, how much remains, when it starts anew."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from django.db.models import prefetch_related_objects

from accounts.models import Organization
from metering.admission import charges, counters
from metering.aggregations import Aggregation
from metering.models import REQUESTS, Meter, Quota, UsagePeriod
from metering.quotas import periods
from metering.rating import rating
from superagent.foundation.prepared import Given, Prepared
from superagent.foundation.problems import Invalid


@dataclass(frozen=True, slots=True)
class QuotaStatus:
    """One meter in the open period. `limit` None: unlimited. Overage is what the period would be charged so far."""

    meter: Meter
    limit: int | None
    used: int
    is_hard: bool
    resets_at: datetime
    overage_quantity: int
    overage_amount: int
    overage_rate: Decimal
    currency: str

    @property
    def remaining(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)

    @property
    def percent(self) -> int | None:
        """Used of the limit, whole percent, rounded down; None without a limit."""
        if self.limit is None:
            return None
        return self.used * 100 // self.limit if self.limit else 100


@dataclass(frozen=True, slots=True)
class Overview:
    period: UsagePeriod
    quotas: list[QuotaStatus]


@dataclass(frozen=True, slots=True)
class QuotaCheck:
    """Whether `quantity` would be accepted now; `code` is empty or `quota_exceeded`."""

    allowed: bool
    remaining: int | None
    code: str


def overview(organization: Organization, now: datetime) -> Overview:
    """Every meter of the open period, requests that are on their way included."""
    return in_period(periods.ensure(organization=organization, now=now))


def in_period(period: UsagePeriod) -> Overview:
    """Every meter of `period`, open or closed; its overage includes what came late for it."""
    rows = _quotas(period=period.pk)
    prefetch_related_objects(rows, "former_terms")
    for quota in rows:
        quota.period = period
    return Overview(period, [_view(quota, period, _live_used(quota)) for quota in rows])


_quotas: Prepared[Quota] = Prepared(
    lambda: Quota.objects.filter(period=Given("period")).select_related("meter").order_by("meter__slug")
)


def of_meter(organization: Organization, meter_slug: str, now: datetime) -> QuotaStatus:
    """One meter of the open period. Raises Invalid."""
    for each in overview(organization, now).quotas:
        if each.meter.slug == meter_slug:
            return each
    meter = Meter.objects.filter(slug=meter_slug, is_active=True).first()
    if meter is None:
        detail = f"There is no meter {meter_slug}: usage/meters lists them."
        raise Invalid.field("/meter", "unknown_meter", detail)
    period = periods.ensure(organization=organization, now=now)
    return _view(Quota(organization=organization, period=period, meter=meter), period, 0)


def check(*, organization: Organization, meter_slug: str, quantity: int, now: datetime) -> QuotaCheck:
    """Returns whether `quantity` more units, or for a gauge a level of `quantity`, would be accepted now; uses nothing.

    Raises Invalid.
    """
    view = of_meter(organization, meter_slug, now)
    aggregation = Aggregation(view.meter.aggregation)
    fits = (
        not view.is_hard
        or view.limit is None
        or aggregation.fits(quantity=quantity, used=view.used, limit=view.limit)
    )
    return QuotaCheck(fits, view.remaining, "" if fits else charges.QuotaExceeded.code)


def shortage(*, quota: Quota, requested: int, now: datetime) -> charges.QuotaExceeded:
    """The refusal of `requested` units that did not fit `quota`."""
    return charges.quota_exceeded(
        meter=quota.meter.slug,
        counted=quota.meter.counted,
        requested=requested,
        remaining=max(0, (quota.included or 0) - _live_used(quota)),
        limit=quota.included,
        resets_at=quota.period.end,
        now_seconds=now.timestamp(),
    )


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _live_used(quota: Quota) -> int:
    if quota.meter.slug != REQUESTS:
        return quota.total
    live = counters.live_used(quota.organization_id)
    return live[1] if live is not None and live[0] == quota.period_id else quota.total


def _view(quota: Quota, period: UsagePeriod, used: int) -> QuotaStatus:
    charged = {} if quota._state.adding else rating.accrued(quota, used)
    return QuotaStatus(
        meter=quota.meter,
        limit=quota.included,
        used=used,
        is_hard=quota.is_hard,
        resets_at=period.end,
        overage_quantity=sum(charged.values()),
        overage_amount=sum(rating.amount(quantity, rate) for (rate, _), quantity in charged.items()),
        overage_rate=quota.overage_rate,
        currency=quota.currency,
    )
