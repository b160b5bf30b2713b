"""Items bought with the saved card: once, with the card of that time, and never left pending."""

from typing import Any

from django.utils import timezone

from billing.models import BillingAccount, Subscription
from billing.stripe import client
from superagent.foundation import outbox
from superagent.foundation.models import OutboxMessage
from tests.billing.conftest import Caller, Customer


def saved_card_order(call: Caller, customer: Customer) -> tuple[str, OutboxMessage]:
    """An order that a worker is about to pay."""
    customer.buy("pro", "month")
    body = {"items": [{"product": "nextpanel-starter"}], "max_total": 900, "payment": "saved_card"}
    placed = call("post", "orders", body)
    return placed.data["id"], OutboxMessage.objects.get(topic="billing.buy_item")


def test_another_card_between_two_tries_buys_no_second_license(
    call: Caller, customer: Customer, settings: Any
) -> None:
    """Stripe did the work, its answer was lost, and the customer chose another card before the repetition."""
    order, message = saved_card_order(call, customer)
    settings.STRIPE_TIMEOUT_SECONDS = 1
    client._client.cache_clear()
    customer.sandbox.fault("timeout_after", path="/v1/subscriptions", method="POST", times=10, seconds=3)
    outbox.deliver(message.pk)
    customer.sandbox.mend()
    BillingAccount.objects.filter(organization=customer.organization).update(payment_method_id="pm_another")
    OutboxMessage.objects.filter(pk=message.pk).update(due_at=timezone.now())
    outbox.deliver(message.pk)
    customer.settle()
    assert call("get", f"orders/{order}").data["status"] == "paid"
    assert Subscription.objects.filter(organization=customer.organization, plan__isnull=True).count() == 1


def test_a_card_that_is_gone_fails_the_order_instead_of_leaving_it_pending(
    call: Caller, customer: Customer
) -> None:
    order, message = saved_card_order(call, customer)
    client.call("payment_methods.detach", message.payload["payment_method"])
    outbox.deliver(message.pk)
    assert call("get", f"orders/{order}").data["status"] == "failed"
    assert not Subscription.objects.filter(organization=customer.organization, plan__isnull=True).exists()
