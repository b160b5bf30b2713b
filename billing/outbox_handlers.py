"""Handlers of billing's outbox messages: each makes one call to Stripe."""

from datetime import datetime, timedelta

from django.utils import timezone

from accounts.models import Organization
from billing import test_clocks
from billing.catalog import sync
from billing.customers import stripe_customers
from billing.overage import charges
from billing.projection import customers, subscriptions
from billing.selling import duplicate_subscriptions, item_purchases, orders
from billing.stripe import client
from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage

KEYS_LIVE = timedelta(hours=23)  # Stripe may forget an idempotency key after 24 hours
PAYMENTS = "payments"  # the queue of what calls Stripe


def _sent_before(message: OutboxMessage) -> datetime | None:
    """Returns when it was first sent if Stripe may have forgotten the key: look it up before sending again."""
    first = message.first_sent_at
    return first if first is not None and timezone.now() - first > KEYS_LIVE else None


@outbox.handler(stripe_customers.CREATE, queue=PAYMENTS)
def create_customer(message: OutboxMessage) -> None:
    stripe_customers.create(message.payload, sent_before=_sent_before(message))


@outbox.handler(stripe_customers.UPDATE, queue=PAYMENTS)
def update_customer(message: OutboxMessage) -> None:
    assert message.organization_id is not None  # follow_organization
    stripe_customers.update(message.organization_id)


@outbox.handler(sync.PUSH, queue=PAYMENTS)
def push_catalog(message: OutboxMessage) -> None:
    """Staff changed the catalog: sync it to Stripe."""
    sync.push()


@outbox.handler(orders.BUY_ITEM, queue=PAYMENTS)
def buy_item(message: OutboxMessage) -> None:
    item_purchases.buy(message.payload, sent_before=_sent_before(message))


@outbox.handler(charges.PLACE, queue=PAYMENTS)
def place_overage(message: OutboxMessage) -> None:
    charges.put_on_invoice(message.payload["charge"], sent_before=_sent_before(message))


@outbox.handler(subscriptions.ADOPT_CARD, queue=PAYMENTS)
def adopt_card(message: OutboxMessage) -> None:
    """Make the card of a first purchase the customer's default. Ignores a card that was removed again."""
    customer = message.payload["customer"]
    try:
        client.call(
            "customers.update",
            customer,
            params={"invoice_settings": {"default_payment_method": message.payload["payment_method"]}},
        )
    except client.Rejected:
        return
    customers.refresh(customer)


@outbox.handler(subscriptions.KEEP_ONE, queue=PAYMENTS)
def keep_one_plan(message: OutboxMessage) -> None:
    assert message.organization_id is not None  # written with it
    duplicate_subscriptions.cancel_duplicates(Organization.objects.get(pk=message.organization_id))


@outbox.handler(test_clocks.ADVANCE, queue=PAYMENTS)
def advance_test_clock(message: OutboxMessage) -> None:
    """Advance for a minute, then continue in another message, so that no lease expires."""
    with tenancy.system("test clock"):
        test_clocks.continue_advancing(
            organization_id=message.payload["organization"], to=message.payload["to"]
        )
