"""Collection of payments for a license: paused while staff suspend it, ended when it is revoked."""

from datetime import datetime
from uuid import UUID

import structlog
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from billing.models import Subscription
from billing.selling import cancellations, collection, subscription_updates
from licensing.models import License
from superagent.foundation import clock, outbox, retries
from superagent.foundation.templatetags.formats import money

TOPIC = "licensing.sync_collection"
MAX_ROUNDS = 5

log = structlog.get_logger(__name__)


def enqueue_sync(license_: License) -> None:
    """Have `sync` run after the caller's transaction has committed."""
    if license_.order_item_id is not None:
        outbox.enqueue(
            topic=TOPIC, payload={"license": str(license_.pk)}, organization_id=license_.organization_id
        )


def subscription_of(license_: License) -> Subscription | None:
    """Returns the subscription that pays for the license; None if staff issued it."""
    if license_.order_item_id is None:
        return None
    found = Subscription.objects.filter(order_item_id=license_.order_item_id)
    return found.select_related("product", "price", "organization").first()


def consequence(license_: License, action: str) -> str:
    """Describes what `suspend`, `reinstate` or `revoke` will do to the subscription, for staff to confirm."""
    subscription = subscription_of(license_)
    if subscription is None:
        return _("No subscription pays for it.")
    if subscription.has_ended:
        return _("Its subscription has already ended.")
    if subscription.is_canceling:
        return _canceled_consequence(subscription, action)
    price = subscription.renewal_price
    renewal = _("%(amount)s on %(day)s") % {
        "amount": money(price.unit_amount, price.currency),
        "day": _day(subscription.current_period_end),
    }
    if action == "revoke":
        text = _("Its subscription ends immediately: %(renewal)s is not charged. Nothing is refunded.")
    elif action == "suspend":
        text = _("Renewals are not charged while it is suspended. The next would be %(renewal)s.")
    else:
        text = _("Renewals are charged again. The next is %(renewal)s.")
    return text % {"renewal": renewal}


def _canceled_consequence(subscription: Subscription, action: str) -> str:
    if action == "revoke":
        text = _("Its subscription ends immediately instead of on %(day)s. Nothing is refunded.")
    else:
        text = _("Its subscription is canceled. It ends on %(day)s and is not charged again.")
    return text % {"day": _day(subscription.cancel_at or subscription.current_period_end)}


def _day(moment: datetime) -> str:
    return date_format(moment, "M j, Y")


def sync(*, license_id: UUID) -> None:
    """Pause, resume or end the subscription as the license's state requires. Calls Stripe; raises as billing does."""
    for _round in range(MAX_ROUNDS):
        done = _apply(License.objects.select_related("organization").get(pk=license_id))
        if done == _wanted(License.objects.get(pk=license_id)):
            return  # else it changed during the call: a later message may have run first
    raise retries.Retryable(f"license {license_id} keeps changing")


def _wanted(license_: License) -> str:
    """Returns the state that the license requires of its subscription: `ended`, `paused` or `collecting`."""
    if license_.status == License.Status.REVOKED:
        return "ended"
    return "paused" if license_.is_held_by_staff else "collecting"


def _apply(license_: License) -> str:
    """Bring the subscription to the state that the license requires. Returns that state."""
    wanted = _wanted(license_)
    subscription = subscription_of(license_)
    if subscription is None or subscription.has_ended:
        return wanted
    try:
        if wanted == "ended":
            cancellations.cancel(
                subscription=subscription,
                at_period_end=False,
                reason="The license was revoked.",
                now=clock.now(license_.organization),
            )
        elif wanted == "paused":
            collection.pause(subscription=subscription)
        else:
            collection.resume(subscription=subscription)
    except subscription_updates.Ended:
        log.info("subscription_ended_already", license=str(license_.pk))
    return wanted
