"""Pausing what a subscription collects: invoices of the time are voided, so that it is never charged."""

from billing.models import Subscription
from billing.projection import subscriptions
from billing.stripe import client, fencing
from superagent.foundation import tenancy


def pause(*, subscription: Subscription) -> None:
    """Void every renewal's invoice until `resume`. Idempotent. Calls Stripe; raises client.Unavailable."""
    _update(subscription, {"behavior": "void"})


def resume(*, subscription: Subscription) -> None:
    """Collect again from the next renewal on. Idempotent. Calls Stripe; raises client.Unavailable.

    Asked even of one that we do not know to be paused: the answer to `pause` may have been lost.
    """
    _update(subscription, "")


def _update(subscription: Subscription, pause_collection: dict[str, str] | str) -> None:
    token = fencing.next_token()
    answer = client.call(
        "subscriptions.update", subscription.stripe_id, params={"pause_collection": pause_collection}
    )
    with tenancy.system("apply a pause of a subscription"):
        subscriptions.apply(answer, token)
