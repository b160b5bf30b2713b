"""Cancel and resume subscriptions, of API plans and licenses. Calls Stripe: never in a transaction."""

from datetime import datetime

from billing.models import Subscription
from billing.projection import subscriptions as subscription_projection
from billing.selling import debts
from billing.selling.subscription_updates import Ended, apply_answer, as_stripe_says
from billing.selling.subscriptions import take_back
from billing.stripe import client, fencing, schedules
from billing.stripe.reading import Json
from superagent.foundation.identifiers import uuid7


def cancel(
    *, subscription: Subscription, at_period_end: bool = True, reason: str = "", now: datetime
) -> Subscription:
    """Cancel the subscription at the end of its period, or at once without a refund. Idempotent. Raises Ended.

    A scheduled change is canceled, too.
    """
    if subscription.has_ended:
        raise Ended(f"It ended on {subscription.ended_at or now:%Y-%m-%d}.")
    details = {"cancellation_details": {"comment": reason[:300]}} if reason else {}
    if not at_period_end:
        return _end_now(subscription, details)
    if subscription.schedule_id:
        schedules.release(subscription.schedule_id)
    answer, token = _updated(subscription, {"cancel_at_period_end": True} | details)
    return apply_answer("subscription.canceled", subscription, answer, token, {"at_period_end": True})


def _end_now(subscription: Subscription, details: Json) -> Subscription:
    token = fencing.next_token()
    try:
        answer = client.call(
            "subscriptions.cancel",
            subscription.stripe_id,
            params={"invoice_now": False, "prorate": False, "expand": subscription_projection.EXPAND}
            | details,
        )
    except client.StripeObjectMissing:  # an earlier call did it; its response was lost
        token = fencing.next_token()
        answer = client.call(
            "subscriptions.retrieve",
            subscription.stripe_id,
            params={"expand": subscription_projection.EXPAND},
        )
    return apply_answer("subscription.canceled", subscription, answer, token, {"at_period_end": False})


def resume(*, subscription: Subscription, now: datetime) -> Subscription:
    """Undo a cancellation or a change that has not taken effect yet. Idempotent.

    Raises Ended, debts.PaymentDue.
    """
    if subscription.has_ended:
        raise Ended("It cannot be resumed. Buy it again.")
    if not subscription.is_canceling:
        return take_back(subscription=subscription, now=now)
    debts.require_none(subscription.organization)
    # A custom end date, which staff set at Stripe, is a different parameter than the end of the period.
    undo: Json = {"cancel_at_period_end": False} if subscription.cancel_at_period_end else {"cancel_at": ""}
    answer, token = _updated(subscription, undo)
    return apply_answer("subscription.resumed", subscription, answer, token, {})


def _updated(subscription: Subscription, params: Json) -> tuple[Json, int]:
    """Update the subscription at Stripe. Returns it with its fencing token. Raises Ended if it has ended there."""
    token = fencing.next_token()
    act = {"metadata": {subscription_projection.ACT: uuid7().hex}}
    expanded = params | act | {"expand": subscription_projection.EXPAND}
    try:
        return client.call("subscriptions.update", subscription.stripe_id, params=expanded), token
    except client.Rejected:
        present, _ = as_stripe_says(subscription)
        if present.has_ended:  # by another request, or at Stripe, a moment ago
            raise Ended("It has just ended.") from None
        raise
