"""One paid plan per organization: of two checkout sessions paid at the same time only one may renew."""

import structlog

from accounts import audit
from accounts.models import Organization
from billing.catalog import plans
from billing.models import CheckoutSession, Subscription
from billing.projection import subscriptions
from billing.selling import checkout
from billing.stripe import client, fencing
from superagent.foundation import tenancy

log = structlog.get_logger(__name__)

_HARMLESS = (*Subscription.ENDED, Subscription.Status.INCOMPLETE)  # never paid: Stripe ends it by itself


def cancel_duplicates(organization: Organization) -> None:
    """Expire open checkout sessions, and cancel every plan subscription but the current one.

    Prepaid time of the others is credited. Idempotent. Calls Stripe. Raises client.Unavailable.
    """
    with tenancy.system("cancel duplicate subscriptions"):
        paying = plans.subscription_of(organization)
        if paying is None:
            return
        for session in CheckoutSession.objects.filter(
            organization=organization, plan__isnull=False, status=CheckoutSession.Status.OPEN
        ):
            checkout.close(session)
        others = Subscription.objects.filter(organization=organization).of_plans().exclude(pk=paying.pk)
        for other in others.exclude(status__in=_HARMLESS):
            _end(other, kept=paying)


def _end(subscription: Subscription, *, kept: Subscription) -> None:
    log.error("plan_was_paid_twice", ended=subscription.stripe_id, kept=kept.stripe_id, alarm=True)
    token = fencing.next_token()
    try:
        answer = client.call(
            "subscriptions.cancel",
            subscription.stripe_id,
            key=f"double:{subscription.stripe_id}",
            params={"invoice_now": True, "prorate": subscription.status == Subscription.Status.ACTIVE},
        )
    except client.Rejected:  # it has ended in the meantime
        subscriptions.refresh(subscription.stripe_id)
        return
    audit.record(
        action="subscription.ended_as_double",
        organization=subscription.organization,
        target=subscription,
        label=subscription.product.name,
        detail={"kept": kept.stripe_id},
    )
    subscriptions.apply(answer, token)
