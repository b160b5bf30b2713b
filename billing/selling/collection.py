"""Pause a subscription's collection: invoices of that time are voided and never charged."""

from billing.models import Subscription
from billing.projection import subscriptions
from billing.stripe import client, fencing
from superagent.foundation import tenancy


def pause(*, subscription: Subscription) -> None:
    """Void renewal invoices until `resume`. Idempotent. Calls Stripe; raises client.Unavailable."""
    _update(subscription, {"behavior": "void"})


def resume(*, subscription: Subscription) -> None:
    """Collect again from the next renewal on. Idempotent. Calls Stripe; raises client.Unavailable.

    Calls Stripe even if our row is not paused: the response to `pause` may have been lost.
    """
    _update(subscription, "")


def _update(subscription: Subscription, pause_collection: dict[str, str] | str) -> None:
    token = fencing.next_token()
    answer = client.call(
        "subscriptions.update", subscription.stripe_id, params={"pause_collection": pause_collection}
    )
    with tenancy.system("apply a pause of a subscription"):
        subscriptions.apply(answer, token)
