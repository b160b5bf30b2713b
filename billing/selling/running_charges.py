"""What an organization goes on paying for: fills the ports of accounts.charges, for who closes an account."""

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
    """Subscriptions that have not ended and are not about to."""
    return [
        Charge(
            name=subscription.product.name,
            ends_at=subscription.current_period_end if subscription.is_live else None,
        )
        for subscription in _running(organization)
    ]


def paying(organizations: QuerySet[Organization]) -> QuerySet[Organization]:
    """Those with such a subscription. Read in the system scope."""
    return organizations.filter(Exists(Subscription.objects.running().filter(organization=OuterRef("pk"))))


def unbilled(organization: Organization) -> list[Due]:
    """Use beyond the allowance that no invoice has named yet: in the open period, and in those that wait for theirs."""
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
    """End them with their periods; one that gives nothing (unpaid, never paid) at once. Raises client.Unavailable.

    The plan last: the mail about its end names what else goes on.
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
