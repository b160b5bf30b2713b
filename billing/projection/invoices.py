"""Invoice projection with lines and payments; Stripe links payments from the invoice only."""

from django.db import transaction

from accounts.models import Organization
from billing.customers import stripe_customers
from billing.models import Invoice, InvoiceLine, OverageCharge, Payment, Subscription
from billing.projection import payments
from billing.stripe import batches, client, fencing, mirror
from billing.stripe.reading import Json, description, identifier, moment
from superagent.foundation import clock

EXPAND = ["discounts", "lines.data.discounts", "payments"]


@batches.once
def refresh(invoice_id: str) -> Invoice | None:
    """Fetch and apply with lines and payments. Returns None if it is not ours, missing, or the fetch is stale."""
    token = fencing.next_token()
    try:
        fetched = client.call("invoices.retrieve", invoice_id, params={"expand": EXPAND})
    except client.StripeObjectMissing:
        _forget_draft(invoice_id, token)
        return None
    lines = fetched["lines"]["data"]
    if fetched["lines"].get("has_more"):
        lines = list(
            client.listed("invoices.line_items.list", invoice_id, params={"expand": ["data.discounts"]})
        )
    invoice = apply(fetched, lines, token)
    if invoice is not None:
        for entry in (fetched.get("payments") or {}).get("data", []):
            intent = identifier((entry.get("payment") or {}).get("payment_intent"))
            if intent:
                payments.refresh(intent)
                _link(intent, invoice)
    return invoice


def _link(intent: str, invoice: Invoice) -> None:
    """Link the payment to the invoice; its refund may have been applied earlier."""
    with transaction.atomic():
        if Payment.objects.filter(stripe_id=intent, invoice__isnull=True).update(invoice=invoice):
            payments.tell_refund(
                Payment.objects.select_related("organization", "invoice").get(stripe_id=intent)
            )


def apply(fetched: Json, lines: list[Json], token: int) -> Invoice | None:
    with transaction.atomic():
        organization = stripe_customers.organization_of(identifier(fetched["customer"]))
        if organization is None or not fencing.accept(fetched["id"], token):
            return None
        invoice = _write(organization, fetched)
        _write_lines(invoice, lines)
        _confirm_overage(invoice, lines)
    mirror.keep(fetched, token)
    return invoice


def _write(organization: Organization, fetched: Json) -> Invoice:
    parent = (fetched.get("parent") or {}).get("subscription_details") or {}
    subscription_id = identifier(parent.get("subscription"))
    transitions = fetched.get("status_transitions") or {}
    discounts = fetched.get("total_discount_amounts") or []
    taxes = fetched.get("total_taxes") or []
    invoice, _ = Invoice.objects.update_or_create(
        stripe_id=fetched["id"],
        defaults={
            "organization": organization,
            "number": fetched.get("number") or "",
            "status": fetched["status"],
            "billing_reason": fetched.get("billing_reason") or "",
            "stripe_subscription_id": subscription_id,
            "subscription": Subscription.objects.filter(stripe_id=subscription_id).first()
            if subscription_id
            else None,
            "currency": fetched["currency"],
            "subtotal": fetched["subtotal"],
            "discount": sum(entry["amount"] for entry in discounts),
            "tax": sum(entry["amount"] for entry in taxes),
            "total": fetched["total"],
            "amount_due": fetched["amount_due"],
            "amount_paid": fetched["amount_paid"],
            "amount_remaining": fetched["amount_remaining"],
            "period_start": moment(fetched["period_start"]),
            "period_end": moment(fetched["period_end"]),
            "attempt_count": fetched.get("attempt_count") or 0,
            "next_payment_attempt": moment(fetched.get("next_payment_attempt")),
            "automatically_finalizes_at": moment(fetched.get("automatically_finalizes_at")),
            "hosted_url": fetched.get("hosted_invoice_url") or "",
            "pdf_url": fetched.get("invoice_pdf") or "",
            "created_at": moment(fetched["created"]),
            "finalized_at": moment(transitions.get("finalized_at")),
            "paid_at": moment(transitions.get("paid_at")),
        },
    )
    return invoice


def _write_lines(invoice: Invoice, lines: list[Json]) -> None:
    """Replace the lines: a draft's may change, a final invoice's are the same each time."""
    invoice.lines.all().delete()
    InvoiceLine.objects.bulk_create(
        InvoiceLine(
            organization_id=invoice.organization_id,
            invoice=invoice,
            stripe_id=line["id"],
            position=position,
            description=description(line)[:500],
            quantity=line.get("quantity"),
            amount=line["amount"],
            currency=line["currency"],
            period_start=moment(line["period"]["start"]),
            period_end=moment(line["period"]["end"]),
            is_proration=is_proration(line),
            invoice_item_id=_invoice_item(line),
        )
        for position, line in enumerate(lines)
    )


def subscription_named_by(invoice: Invoice) -> str:
    """Returns the id of the subscription that a stored invoice names but was not linked to; '' for none."""
    return invoice.stripe_subscription_id if invoice.subscription_id is None else ""


def is_proration(line: Json) -> bool:
    parent = line.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    return bool(details.get("proration"))


def _invoice_item(line: Json) -> str:
    details = (line.get("parent") or {}).get("invoice_item_details") or {}
    return identifier(details.get("invoice_item"))


def _confirm_overage(invoice: Invoice, lines: list[Json]) -> None:
    """Complete a charge whose response was lost, found by its line's metadata."""
    now = clock.now(invoice.organization)
    for line in lines:
        charge = (line.get("metadata") or {}).get("overage_charge")
        item = _invoice_item(line)
        if charge and item:
            OverageCharge.objects.filter(
                pk=charge, organization_id=invoice.organization_id, status=OverageCharge.Status.PENDING
            ).update(status=OverageCharge.Status.INVOICED, invoice_item_id=item, invoiced_at=now)


def _forget_draft(invoice_id: str, token: int) -> None:
    """Delete a draft that was deleted at Stripe."""
    with transaction.atomic():
        if fencing.accept(invoice_id, token):
            Invoice.objects.filter(stripe_id=invoice_id, status=Invoice.Status.DRAFT).delete()
