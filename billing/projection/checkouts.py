"""Checkout sessions: complete, with the result, or expired."""

from django.db import transaction

from billing.models import CheckoutSession
from billing.projection import order_payments, subscriptions
from billing.stripe import client, fencing
from billing.stripe.reading import identifier


def refresh(session_id: str) -> None:
    """Fetch and apply. Ignores a session that is not ours or no longer exists."""
    token = fencing.next_token()
    try:
        fetched = client.call("checkout.sessions.retrieve", session_id)
    except client.StripeObjectMissing:
        return
    subscription_id = identifier(fetched.get("subscription"))
    with transaction.atomic():
        session = CheckoutSession.objects.select_for_update().filter(stripe_id=session_id).first()
        if session is None or not fencing.accept(session_id, token):
            return
        session.status = fetched["status"]
        session.stripe_subscription_id = subscription_id
        session.save(update_fields=["status", "stripe_subscription_id"])
        if session.order is not None and session.status == CheckoutSession.Status.EXPIRED:
            order_payments.expire(session.order)
    if subscription_id:
        subscriptions.refresh(subscription_id)
