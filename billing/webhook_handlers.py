"""Handlers of Stripe's events: fetch the object and apply it. Types without a handler are ignored."""

from billing import test_clocks
from billing.models import Invoice, Subscription, WebhookEvent
from billing.overage import charges
from billing.projection import checkouts, customers, invoices, messages, payments, subscriptions
from billing.stripe import mirror
from billing.stripe.inbox import handles
from billing.stripe.reading import identifier
from superagent.foundation import clock


@handles("customer.created", "customer.updated", "customer.deleted")
def on_customer(event: WebhookEvent) -> None:
    customers.refresh(event.object_id)


@handles("payment_method.attached", "payment_method.automatically_updated", "payment_method.updated")
def on_payment_method(event: WebhookEvent) -> None:
    customers.refresh(event.partition_key)


@handles("payment_method.detached")
def on_payment_method_detached(event: WebhookEvent) -> None:
    """A detached card names its customer only in `previous_attributes`."""
    before = event.payload["data"].get("previous_attributes") or {}
    if customer := before.get("customer"):
        customers.refresh(identifier(customer))


@handles(
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.pending_update_applied",
    "customer.subscription.pending_update_expired",
)
def on_subscription(event: WebhookEvent) -> None:
    subscriptions.refresh(event.object_id)


@handles(
    "subscription_schedule.created",
    "subscription_schedule.updated",
    "subscription_schedule.released",
    "subscription_schedule.canceled",
    "subscription_schedule.aborted",
    "subscription_schedule.completed",
)
def on_schedule(event: WebhookEvent) -> None:
    subject = event.payload["data"]["object"]
    if subscription := identifier(subject.get("subscription") or subject.get("released_subscription")):
        subscriptions.refresh(subscription)


@handles("customer.subscription.trial_will_end")
def on_trial_will_end(event: WebhookEvent) -> None:
    subscriptions.refresh(event.object_id)
    subscription = Subscription.objects.filter(stripe_id=event.object_id).first()
    if subscription is not None:
        messages.trial_will_end(subscription)


@handles(
    "invoice.updated",
    "invoice.finalized",
    "invoice.finalization_failed",
    "invoice.marked_uncollectible",
    "invoice.sent",
    "invoice.voided",
    "invoice.deleted",
    "invoice.payment_action_required",
)
def on_invoice(event: WebhookEvent) -> None:
    _refresh_invoice(event.object_id)


@handles("invoice.created")
def on_invoice_created(event: WebhookEvent) -> None:
    """A renewal's draft: close the usage period that ended, then put its overage on the draft."""
    invoice = _refresh_invoice(event.object_id)
    if invoice is None or invoice.subscription is None:
        return
    subscriptions.refresh(invoice.subscription.stripe_id)
    charges.place(
        organization=invoice.organization, now=max(clock.now(invoice.organization), invoice.created_at)
    )


@handles("invoice.paid", "invoice.payment_succeeded")
def on_invoice_paid(event: WebhookEvent) -> None:
    invoice = _refresh_invoice(event.object_id)
    if invoice is None:
        return
    if invoice.subscription is not None:
        subscriptions.refresh(invoice.subscription.stripe_id)
    if invoice.status == Invoice.Status.PAID:
        messages.receipt(invoice)


@handles("invoice.payment_failed")
def on_invoice_payment_failed(event: WebhookEvent) -> None:
    invoice = _refresh_invoice(event.object_id)
    if invoice is None:
        return
    if invoice.subscription is not None:
        subscriptions.refresh(invoice.subscription.stripe_id)
    if invoice.status == Invoice.Status.OPEN:
        messages.payment_failed(invoice)


@handles("invoice_payment.paid")
def on_invoice_payment(event: WebhookEvent) -> None:
    _refresh_invoice(identifier(event.payload["data"]["object"]["invoice"]))


@handles(
    "payment_intent.created",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.canceled",
)
def on_payment_intent(event: WebhookEvent) -> None:
    payments.refresh(event.object_id)


@handles("charge.succeeded", "charge.failed", "charge.updated", "charge.refunded")
def on_charge(event: WebhookEvent) -> None:
    _refresh_payment_of(event)


@handles("refund.created", "refund.updated", "refund.failed", "charge.refund.updated")
def on_refund(event: WebhookEvent) -> None:
    _refresh_payment_of(event)


@handles(
    "checkout.session.completed",
    "checkout.session.expired",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
)
def on_checkout_session(event: WebhookEvent) -> None:
    checkouts.refresh(event.object_id)


@handles("product.created", "product.updated", "price.created", "price.updated")
def on_catalog(event: WebhookEvent) -> None:
    mirror.refresh(event.payload["data"]["object"]["object"], event.object_id)


@handles("test_helpers.test_clock.ready", "test_helpers.test_clock.internal_failure")
def on_test_clock(event: WebhookEvent) -> None:
    test_clocks.sync_clock(event.object_id)


def _refresh_payment_of(event: WebhookEvent) -> None:
    """Refresh the payment intent of a charge or a refund, which never becomes another one's."""
    if intent := identifier(event.payload["data"]["object"].get("payment_intent")):
        payments.refresh(intent)


def _refresh_invoice(invoice_id: str) -> Invoice | None:
    """Returns the invoice as stored; if a newer fetch was applied already, its state still has to be acted on.

    An invoice may arrive before its subscription, which is then fetched first.
    """
    invoices.refresh(invoice_id)
    invoice = (
        Invoice.objects.filter(stripe_id=invoice_id).select_related("organization", "subscription").first()
    )
    if invoice is not None and invoice.subscription is None:
        missing = invoices.subscription_named_by(invoice)
        if missing:
            subscriptions.refresh(missing)
            Invoice.objects.filter(pk=invoice.pk).update(
                subscription=Subscription.objects.filter(stripe_id=missing).first()
            )
            invoice.refresh_from_db()
    return invoice
