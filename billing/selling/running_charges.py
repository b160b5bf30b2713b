"""Charges that would continue, shown when an account is closed: implements the ports of accounts.charges."""

from django.db.models import Exists, OuterRef, QuerySet

from accounts.charges import Charge, Due
from accounts.models import Organization
from billing.catalog import plans
from billing.models import Subscription
from billing.projection import coming
from billing.selling import cancellations
from metering.quotas import quota_status
from superagent.foundation import clock, tenancy


def running(organization: Organization) -> list[Charge]:
    """Returns subscriptions that have not ended and are not canceled."""
    return [
        Charge(
            name=subscription.product.name,
            ends_at=subscription.current_period_end if subscription.is_live else None,
        )
        for subscription in _running(organization)
    ]


def paying(organizations: QuerySet[Organization]) -> QuerySet[Organization]:
    """Returns the organizations with such a subscription. Runs in the system scope."""
    return organizations.filter(Exists(Subscription.objects.running().filter(organization=OuterRef("pk"))))


def unbilled(organization: Organization) -> list[Due]:
    """Returns overage that is not invoiced yet, of the open and of closed periods."""
    now = clock.now(organization)
    with tenancy.system("use that is still to be billed, asked by who closes their account"):
        found = coming.overage(
            organization=organization,
            plan=plans.subscription_of(organization),
            used=quota_status.overview(organization, now),
            now=now,
        )
    return [Due(amount=each.total, currency=each.currency, at=each.at) for each in found]


def end_all(organization: Organization) -> None:
    """Cancel them at the end of their periods; an unpaid one at once. Raises client.Unavailable.

    The plan comes last, because the mail about its end names the other subscriptions.
    """
    now = clock.now(organization)
    for subscription in sorted(_running(organization), key=lambda each: each.plan_id is not None):
        cancellations.cancel(
            subscription=subscription, at_period_end=subscription.is_live, reason="account closed", now=now
        )


def _running(organization: Organization) -> list[Subscription]:
    with tenancy.system("what an organization still pays for, asked by who closes their account"):
        found = Subscription.objects.visible_to(organization).select_related("product", "organization")
        return list(found.running().order_by("id"))
