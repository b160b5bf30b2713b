"""Usage months follow the current plan, with their own anchor that is independent of Stripe's billing period.

A new month starts only where nothing is paid yet: when a paid plan replaces the free one, when a trial begins and
when it becomes paid, and when a paid plan ends before its month. Never by a change within a paid period.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, QuerySet

from billing.catalog import plans
from billing.models import BillingAccount, Plan, Subscription
from metering.models import UsagePeriod
from metering.quotas import months, periods


def sync_from_subscription(*, subscription: Subscription, was_live: bool, now: datetime) -> None:
    """Adjust the organization's usage periods to `subscription`. Idempotent; call in the transaction of the change.

    The ending period is closed and rated under its own terms, so call it before the current plan changes.
    """
    organization = subscription.organization
    paying = plans.subscription_of(organization)
    if subscription.is_live:
        if paying is not None and paying.pk == subscription.pk:
            _begin(subscription, now)
            periods.close_before(organization=organization, moment=subscription.current_period_start, now=now)
    elif was_live and paying is None:
        _end(subscription, now)


@dataclass(frozen=True, slots=True)
class CutMonth:
    """The usage month in which the paid period ends before the month does, with its total allowance of each meter."""

    start: datetime
    included: dict[str, int]


def month_that_is_cut(*, subscription: Subscription, follows: Plan | None) -> CutMonth | None:
    """Returns what to show before a cancellation (`follows` None) or downgrade; None if both end together."""
    end = subscription.current_period_end
    newest = UsagePeriod.objects.visible_to(subscription.organization).order_by("-start").first()
    if newest is None or subscription.plan is None:
        return None
    start, whole = months.around(newest.anchor, end)
    if start == end:
        return None
    share = months.share(end - start, whole - start)
    then = {row.meter_id: row.included for row in follows.allowances.all()} if follows is not None else {}
    included = {}
    for row in subscription.plan.allowances.select_related("meter"):
        after = then.get(row.meter_id, 0)
        if row.included is not None and after is not None:
            included[row.meter.name] = int(row.included * share) + int(after * (1 - share))
    return CutMonth(start, included)


def _begin(subscription: Subscription, now: datetime) -> None:
    organization = subscription.organization
    is_first = not plans.is_paid(BillingAccount.objects.get(organization=organization).plan)
    had_trial = _trial_periods(subscription).exists()
    if subscription.status == Subscription.Status.TRIALING:
        if is_first or had_trial:  # staff can move its end at Stripe
            periods.begin(
                organization=organization,
                start=subscription.started_at,
                until=subscription.trial_end,
                now=now,
            )
    elif is_first or (had_trial and subscription.current_period_start == subscription.trial_end):
        periods.begin(organization=organization, start=subscription.current_period_start, now=now)


def _trial_periods(subscription: Subscription) -> QuerySet[UsagePeriod]:
    """The trial is a separate usage period; months are counted from its end."""
    return UsagePeriod.objects.filter(
        organization_id=subscription.organization_id, end__gt=subscription.started_at, anchor__gt=F("start")
    )


def _end(subscription: Subscription, now: datetime) -> None:
    """Back to the free plan: at the end of the month if both end together, else a free month begins now."""
    organization = subscription.organization
    end = subscription.ended_at or now
    periods.close_before(organization=organization, moment=end, now=now)
    month = periods.ensure(organization=organization, now=max(now, end))
    if month.start != end:
        periods.begin(
            organization=organization, start=end, paid_until=subscription.current_period_end, now=now
        )
