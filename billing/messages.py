"""Mails about money, each once: to the organization's billing address."""

from datetime import datetime

from django.conf import settings
from django.urls import reverse

from accounts import notifications
from billing.models import Invoice, Subscription
from superagent.foundation.money import Money


def receipt(invoice: Invoice) -> None:
    """An invoice was paid; once for each, and not for one that cost nothing."""
    if not invoice.amount_paid:
        return
    credit = invoice.total - invoice.amount_due
    notifications.send(
        template="billing/email/receipt",
        to=[invoice.organization.email],
        context={
            "organization": invoice.organization.name,
            "number": invoice.number,
            "amount": str(Money(invoice.amount_paid, invoice.currency)),
            "paid_at": _date(invoice.paid_at),
            "lines": [
                {"description": line.description, "amount": str(Money(line.amount, line.currency))}
                for line in invoice.lines.all()
            ],
            "credit": str(Money(credit, invoice.currency)) if credit > 0 else "",
            "url": settings.PUBLIC_URL + reverse("invoice", args=[invoice.pk]),
        },
        dedupe_key=f"receipt:{invoice.stripe_id}",
        organization=invoice.organization,
    )


def payment_failed(invoice: Invoice) -> None:
    """The card was declined; once for each attempt."""
    latest = invoice.payments.order_by("-created_at").first()
    notifications.send(
        template="billing/email/payment_failed",
        to=[invoice.organization.email],
        context={
            "organization": invoice.organization.name,
            "amount": str(Money(invoice.amount_remaining, invoice.currency)),
            "reason": latest.failure_message if latest else "",
            "next_attempt": _date(invoice.next_payment_attempt),
            "url": settings.PUBLIC_URL + reverse("billing"),
        },
        dedupe_key=f"payment_failed:{invoice.stripe_id}:{invoice.attempt_count}",
        organization=invoice.organization,
    )


def trial_will_end(subscription: Subscription) -> None:
    """Three days before the first charge."""
    notifications.send(
        template="billing/email/trial_will_end",
        to=[subscription.organization.email],
        context={
            "organization": subscription.organization.name,
            "plan": subscription.product.name,
            "amount": str(Money(subscription.price.unit_amount, subscription.price.currency)),
            "trial_end": _date(subscription.trial_end),
            "url": settings.PUBLIC_URL + reverse("billing"),
        },
        dedupe_key=f"trial_will_end:{subscription.stripe_id}:{subscription.trial_end}",
        organization=subscription.organization,
    )


def _date(moment: datetime | None) -> str:
    return f"{moment:%d %B %Y, %H:%M} UTC" if moment else ""
