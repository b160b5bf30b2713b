"""Usage periods follow the subscription of the plan in force: Stripe's period is the real one."""

from datetime import datetime

from accounts.models import Organization
from billing import plans
from billing.models import Subscription
from metering import months, periods
from metering.models import UsagePeriod


def follow(*, subscription: Subscription, previous_status: str | None, now: datetime) -> None:
    """Turn the organization's usage periods as `subscription` says. Idempotent; in the transaction of the change.

    The period that ends is closed and rated under the terms that it had, so call it before the plan in force changes.
    """
    organization = subscription.organization
    if subscription.is_live:
        paying = plans.subscription_of(organization)
        if paying is not None and paying.pk == subscription.pk:
            periods.correct(
                organization=organization,
                start=subscription.current_period_start,
                end=subscription.current_period_end,
                now=now,
            )
            _close_before(organization, subscription.current_period_start, now)
        return
    was_live = previous_status in Subscription.LIVE
    if was_live and plans.subscription_of(organization) is None:
        end = subscription.ended_at or now
        periods.correct(organization=organization, start=end, end=months.add(end, 1), now=now)
        _close_before(organization, end, now)


def _close_before(organization: Organization, moment: datetime, now: datetime) -> None:
    """Close what ended by Stripe's clock: on a test clock ours follows only when everything has been worked off."""
    ended = UsagePeriod.objects.visible_to(organization).filter(closed_at__isnull=True, end__lte=moment)
    for period in ended.order_by("end"):
        periods.close(period=period, now=max(now, moment))
