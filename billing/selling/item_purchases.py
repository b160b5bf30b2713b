"""Buy order items with the saved card, in a worker. Calls Stripe."""

from datetime import datetime
from typing import Any

import structlog

from billing.models import OrderItem
from billing.projection import order_payments, subscriptions
from billing.selling import orders
from billing.stripe import client
from superagent.foundation import tenancy

log = structlog.get_logger(__name__)


def buy(payload: dict[str, str], *, sent_before: datetime | None = None) -> None:
    """Subscribe to an item with the card that was saved when it was ordered. Idempotent by item. Calls Stripe.

    `sent_before`: an earlier try, whose key Stripe may have forgotten; it is looked up first. A refusal, by the
    bank or by Stripe, fails the order and says why. Raises client.Unavailable and client.ChargingDisabled.
    """
    with tenancy.system("buy an order item"):
        item = OrderItem.objects.select_related("order", "price", "organization").get(pk=payload["item"])
        if item.status != OrderItem.Status.PENDING:
            return
        client.require_charging()
        try:
            subscription = _bought(item, payload["customer"], sent_before) or client.call(
                "subscriptions.create",
                key=f"order_item:{item.pk}",
                params={
                    "customer": payload["customer"],
                    "items": [{"price": item.price.stripe_id}],
                    "default_payment_method": payload["payment_method"],
                    "payment_behavior": "error_if_incomplete",
                    "off_session": True,
                    "metadata": orders.metadata_of(item),
                },
            )
        except client.Declined as refusal:
            order_payments.fail(item=item, reason=refusal.detail)
            return
        except client.Rejected as refusal:
            log.error("order_item_refused", item=str(item.pk), error=refusal.detail, alarm=True)
            order_payments.fail(
                item=item, reason="The saved card can no longer be used. Order again by checkout."
            )
            return
        subscriptions.refresh(subscription["id"])


def _bought(item: OrderItem, customer: str, sent_before: datetime | None) -> dict[str, Any] | None:
    if sent_before is None:
        return None
    made = client.listed("subscriptions.list", params={"customer": customer, "status": "all"})
    return next((each for each in made if each["metadata"].get("order_item") == str(item.pk)), None)
