"""Visits to the payment page: complete, with what they led to, or expired."""

from django.db import transaction

from billing import fence, gateway, orders
from billing.models import CheckoutSession
from billing.projection import subscriptions
from billing.projection.reading import identifier


def refresh(session_id: str) -> None:
    """Fetch and apply; a visit that is not ours, or is gone, changes nothing."""
    number = fence.draw()
    try:
        fetched = gateway.call("checkout.sessions.retrieve", session_id)
    except gateway.Gone:
        return
    subscription_id = identifier(fetched.get("subscription"))
    with transaction.atomic():
        session = CheckoutSession.objects.select_for_update().filter(stripe_id=session_id).first()
        if session is None or not fence.advance(session_id, number):
            return
        session.status = fetched["status"]
        session.stripe_subscription_id = subscription_id
        session.save(update_fields=["status", "stripe_subscription_id"])
        if session.order is not None and session.status == CheckoutSession.Status.EXPIRED:
            orders.expire(session.order)
    if subscription_id:
        subscriptions.refresh(subscription_id)
