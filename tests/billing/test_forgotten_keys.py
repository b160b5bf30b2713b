"""After a day Stripe may have forgotten our keys: what an earlier try made is found by our id first."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from billing.customers import stripe_customers
from billing.models import BillingAccount, OrderItem, Subscription
from billing.overage import charges
from billing.selling import orders
from billing.stripe import client
from superagent.foundation import outbox
from superagent.foundation.models import OutboxMessage
from tests.billing.conftest import Customer
from tests.billing.overage.test_charges import at_the_draft, items


def a_day_later(**which: Any) -> OutboxMessage:
    """Deliver the message once more, tried first more than a day ago, in vain as far as we know."""
    message = OutboxMessage.objects.filter(**which).latest("id")
    OutboxMessage.objects.filter(pk=message.pk).update(
        state="pending", first_sent_at=timezone.now() - timedelta(hours=30), due_at=timezone.now()
    )
    outbox.deliver(message.pk)
    message.refresh_from_db()
    assert (message.state, message.last_error) == ("done", "")
    return message


def test_overage_is_put_on_an_invoice_once(customer: Customer) -> None:
    charge = at_the_draft(customer)
    made = client.call(  # under a key that Stripe has forgotten since
        "invoice_items.create",
        params={
            "customer": customer.account.stripe_customer_id,
            "invoice": charge.target_invoice_id,
            "amount": charge.amount,
            "currency": charge.currency,
            "metadata": {"overage_charge": str(charge.pk)},
        },
    )
    a_day_later(dedupe_key=charges.item_key(charge))
    charge.refresh_from_db()
    assert (charge.status, charge.invoice_item_id) == ("invoiced", made["id"])
    assert len(items(customer)) == 1


def test_overage_that_was_never_sent_is_sent(customer: Customer) -> None:
    charge = at_the_draft(customer)
    a_day_later(dedupe_key=charges.item_key(charge))
    charge.refresh_from_db()
    assert charge.status == "invoiced" and [item["amount"] for item in items(customer)] == [500]


def test_an_order_is_charged_once(customer: Customer) -> None:
    customer.buy("pro", "month")
    order = orders.place(
        organization=customer.organization, user=customer.user, items=[orders.Wanted("nextpanel-starter")],
        max_total=900, currency="usd", payment="saved_card", now=customer.now,
    )  # fmt: skip
    item = OrderItem.objects.get(order=order)
    account = customer.account
    made = client.call(
        "subscriptions.create",
        params={
            "customer": account.stripe_customer_id,
            "items": [{"price": item.price.stripe_id}],
            "default_payment_method": account.payment_method_id,
            "metadata": orders.metadata_of(item),
        },
    )
    a_day_later(topic=orders.BUY_ITEM)
    assert Subscription.objects.get(order_item=item).stripe_id == made["id"]
    bought = client.listed("subscriptions.list", params={"customer": account.stripe_customer_id})
    assert len(list(bought)) == 2  # the plan and one license


def test_a_customer_is_made_once(customer: Customer) -> None:
    account = customer.account
    BillingAccount.objects.update(stripe_customer_id=None)
    a_day_later(topic=stripe_customers.CREATE)
    assert customer.account.stripe_customer_id == account.stripe_customer_id
