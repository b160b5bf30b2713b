"""Mails about payments, each sent once to the organization's billing address."""

from datetime import datetime

from accounts import billing_mail, mail_links
from billing.models import Invoice, Subscription
from superagent.foundation.templatetags.formats import absolute, money


def receipt(invoice: Invoice) -> None:
    """Mail the receipt of a paid invoice, once; none if the amount is zero."""
    if not invoice.amount_paid:
        return
    credit = invoice.total - invoice.amount_due
    billing_mail.send(
        organization=invoice.organization,
        template="billing/email/receipt",
        context={
            "number": invoice.number,
            "amount": money(invoice.amount_paid, invoice.currency),
            "paid_at": _date(invoice.paid_at),
            "lines": [
                {"description": line.description, "amount": money(line.amount, line.currency)}
                for line in invoice.lines.all()
            ],
            "credit": money(credit, invoice.currency) if credit > 0 else "",
            "url": mail_links.page("invoice", invoice.pk, organization=invoice.organization),
        },
        dedupe_key=f"receipt:{invoice.stripe_id}",
    )


def payment_failed(invoice: Invoice) -> None:
    """Mail that the card was declined, once for each attempt."""
    subscription = invoice.subscription
    latest = invoice.payments.order_by("-created_at").first()
    billing_mail.send(
        organization=invoice.organization,
        template="billing/email/payment_failed",
        context={
            "amount": money(invoice.amount_remaining, invoice.currency),
            "reason": latest.failure_message if latest else "",
            "next_attempt": _date(invoice.next_payment_attempt),
            "name": subscription.product.name if subscription else "",
            "has_ended": subscription is not None and subscription.has_ended,
            "url": mail_links.page("invoice", invoice.pk, organization=invoice.organization)
            if subscription is not None and subscription.has_ended
            else mail_links.page("billing", organization=invoice.organization),
        },
        dedupe_key=f"payment_failed:{invoice.stripe_id}:{invoice.attempt_count}",
    )


def trial_will_end(subscription: Subscription) -> None:
    """Mail three days before the first charge."""
    billing_mail.send(
        organization=subscription.organization,
        template="billing/email/trial_will_end",
        context={
            "plan": subscription.product.name,
            "amount": money(subscription.price.unit_amount, subscription.price.currency),
            "trial_end": _date(subscription.trial_end),
            "url": mail_links.page("billing", organization=subscription.organization),
        },
        dedupe_key=f"trial_will_end:{subscription.stripe_id}:{subscription.trial_end}",
    )


def _date(moment: datetime | None) -> str:
    return absolute(moment) if moment else ""
