"""Payment projection: a payment intent with its latest charge is one row, each refund another."""

from django.db import transaction
from django.db.models import Q

from accounts.models import Organization
from billing.customers import stripe_customers
from billing.models import BillingAccount, Payment, Refund
from billing.signals import payment_refunded
from billing.stripe import batches, client, fencing, mirror
from billing.stripe.reading import Json, identifier, moment
from superagent.foundation import clock

_STATUS = {
    "processing": Payment.Status.PROCESSING,
    "requires_action": Payment.Status.REQUIRES_ACTION,
    "requires_capture": Payment.Status.PROCESSING,
    "requires_confirmation": Payment.Status.PROCESSING,
    "requires_payment_method": Payment.Status.FAILED,
    "succeeded": Payment.Status.SUCCEEDED,
    "canceled": Payment.Status.CANCELED,
}


@batches.once
def refresh(intent_id: str) -> Payment | None:
    """Fetch the intent, its charge and refunds, and apply. Returns None if not ours, missing or stale."""
    token = fencing.next_token()
    try:
        fetched = client.call(
            "payment_intents.retrieve",
            intent_id,
            params={"expand": ["latest_charge", "latest_charge.balance_transaction"]},
        )
    except client.StripeObjectMissing:
        return None
    charge = fetched.get("latest_charge") or {}
    refunds = (
        list(client.listed("refunds.list", params={"payment_intent": intent_id}))
        if charge.get("amount_refunded") or charge.get("refunded")
        else []
    )
    with transaction.atomic():
        organization = stripe_customers.organization_of(identifier(fetched.get("customer")))
        if organization is None or not fencing.accept(intent_id, token):
            return None
        payment = _write(organization, fetched, charge)
        _judge_card(organization, charge)
        for refund in refunds:
            _write_refund(payment, refund)
        tell_refund(payment)
    mirror.keep(fetched, token)
    if charge:
        mirror.keep(charge, token)
    for refund in refunds:
        mirror.keep(refund, token)
    return payment


def tell_refund(payment: Payment) -> None:
    """Send the signal for a payment that is refunded in full.

    Call it in a transaction whenever the payment or its invoice is applied: either may come first."""
    if payment.invoice is not None and payment.is_refunded():
        payment_refunded.send(sender=Payment, payment=payment, now=clock.now(payment.organization))


def _write(organization: Organization, fetched: Json, charge: Json) -> Payment:
    error = fetched.get("last_payment_error") or {}
    card = ((charge.get("payment_method_details") or {}).get("card")) or {}
    values = {
        "organization": organization,
        "charge_id": charge.get("id") or "",
        "status": _STATUS[fetched["status"]],
        "amount": fetched["amount"],
        "amount_refunded": charge.get("amount_refunded") or 0,
        "currency": fetched["currency"],
        "description": (fetched.get("description") or "")[:500],
        "failure_code": (error.get("decline_code") or error.get("code") or "")[:100],
        "failure_message": (error.get("message") or "")[:500],
        "card_brand": card.get("brand") or "",
        "card_last_four": card.get("last4") or "",
        "created_at": moment(fetched["created"]),
    }
    payment, _ = Payment.objects.update_or_create(stripe_id=fetched["id"], defaults=values)
    return payment


def _judge_card(organization: Organization, charge: Json) -> None:
    """Store the bank's latest response for the saved card; paying with another card does not change it.

    The newest charge counts, in whatever order payments are applied.
    """
    if not charge:
        return
    card, tried_at = identifier(charge.get("payment_method")), moment(charge["created"])
    saved = BillingAccount.objects.filter(organization=organization, payment_method_id=card or None)
    if charge["status"] == "failed":
        newer = saved.filter(Q(card_tried_at=None) | Q(card_tried_at__lt=tried_at))
        newer.update(declined_method_id=card, card_tried_at=tried_at)
    elif charge["status"] == "succeeded":
        newer = saved.filter(Q(card_tried_at=None) | Q(card_tried_at__lte=tried_at))
        newer.update(declined_method_id="", card_tried_at=tried_at)


def _write_refund(payment: Payment, refund: Json) -> None:
    Refund.objects.update_or_create(
        stripe_id=refund["id"],
        defaults={
            "organization_id": payment.organization_id,
            "payment": payment,
            "status": refund.get("status") or "",
            "amount": refund["amount"],
            "currency": refund["currency"],
            "reason": refund.get("reason") or "",
            "created_at": moment(refund["created"]),
        },
    )
