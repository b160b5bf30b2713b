"""Usage months follow the plan in force: their own anchor, whatever Stripe's billing period is and wherever it moves.

A month begins anew where nothing is paid for: when a paid plan begins on the free one, when a trial begins and when
it becomes paid, and when a paid plan ends before its month does. Never by a change inside of what was paid for.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F

from billing.catalog import plans
from billing.models import BillingAccount, Plan, Subscription
from metering.models import UsagePeriod
from metering.quotas import months, periods


def sync_from_subscription(*, subscription: Subscription, was_live: bool, now: datetime) -> None:
    """Turn the organization's usage periods as `subscription` says. Idempotent; in the transaction of the change.

    The period that ends is closed and rated under the terms that it had, so call it before the plan in force changes.
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
    """The month of use in which what is paid ends before the month does, and what it includes in all of each meter."""

    start: datetime
    included: dict[str, int]


def month_that_is_cut(*, subscription: Subscription, follows: Plan | None) -> CutMonth | None:
    """What people are told before they cancel (`follows` None) or go down; None when both end together."""
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
        if is_first or had_trial:  # its end can be moved at Stripe
            periods.begin(
                organization=organization,
                start=subscription.started_at,
                until=subscription.trial_end,
                now=now,
            )
    elif is_first or (had_trial and subscription.current_period_start == subscription.trial_end):
        periods.begin(organization=organization, start=subscription.current_period_start, now=now)


def _trial_periods(subscription: Subscription):  # type: ignore[no-untyped-def]  # the plugin makes the type
    """The usage period that the trial is: of its own, with the months counted from its end."""
    return UsagePeriod.objects.filter(
        organization_id=subscription.organization_id, end__gt=subscription.started_at, anchor__gt=F("start")
    )


def _end(subscription: Subscription, now: datetime) -> None:
    """Back to the free plan: with the month, if both end together; else a free month begins."""
    organization = subscription.organization
    end = subscription.ended_at or now
    periods.close_before(organization=organization, moment=end, now=now)
    month = periods.ensure(organization=organization, now=max(now, end))
    if month.start != end:
        periods.begin(
            organization=organization, start=end, paid_until=subscription.current_period_end, now=now
        )
