"""Draft invoices: their creation, and the hour before they are finalized."""

from typing import Any

from superagent.sandbox.store import store
from superagent.sandbox.stripe import customers, deliveries, discounts, ids, lines, moment, shapes
from superagent.sandbox.stripe.events import emit

DRAFT_HOURS = 1
UNANSWERED_HOURS = 72


def draft(
    *,
    customer_id: str,
    reason: str,
    currency: str,
    data: list[dict[str, Any]],
    subscription: dict[str, Any] | None = None,
    period: tuple[int, int] | None = None,
    **values: Any,
) -> dict[str, Any]:
    """Add a draft invoice with these lines and emit `invoice.created`."""
    now = moment.now(customer_id)
    start, end = period or (now, now)
    invoice_id = ids.new("in")
    if subscription:
        values = _terms(subscription) | values
    automatic = values.get("auto_advance", True)
    given = {
        "id": invoice_id,
        "auto_advance": automatic,
        "automatically_finalizes_at": now + DRAFT_HOURS * moment.HOUR if automatic else None,
        "billing_reason": reason,
        "created": now,
        "currency": currency,
        "lines": shapes.listing(data, f"/v1/invoices/{invoice_id}/lines"),
        "period_start": start,
        "period_end": end,
    }
    whole = _blank() | _addressed(customers.get(customer_id)) | given | values
    invoice = store.add(shapes.build("invoice", **whole))
    lines.total(invoice)
    if automatic and invoice["collection_method"] == "charge_automatically":
        invoice["next_payment_attempt"] = invoice["automatically_finalizes_at"]
    event = emit("invoice.created", invoice)
    assert event is not None
    invoice["_event"] = event["id"]
    if event["pending_webhooks"] == 0:
        invoice["webhooks_delivered_at"] = now
    return invoice


def _terms(subscription: dict[str, Any]) -> dict[str, Any]:
    """Returns what an invoice takes over from its subscription."""
    details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
    return {
        "collection_method": subscription["collection_method"],
        "default_payment_method": subscription["default_payment_method"],
        "parent": {"quote_details": None, "type": "subscription_details", "subscription_details": details},
    }


def _addressed(customer: dict[str, Any]) -> dict[str, Any]:
    """Returns what an invoice copies from its customer."""
    return {
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
        "starting_balance": customer["balance"],
        "test_clock": customer["test_clock"],
    }


def _blank() -> dict[str, Any]:
    """Returns what every new invoice has."""
    zeros = (
        "amount_due",
        "amount_overpaid",
        "amount_paid",
        "amount_remaining",
        "amount_shipping",
        "attempt_count",
        "post_payment_credit_notes_amount",
        "pre_payment_credit_notes_amount",
        "subtotal",
        "total",
    )
    moments = ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
    settings = ("default_mandate", "payment_method_options", "payment_method_types")
    return dict.fromkeys(zeros, 0) | {
        "account_country": "US",
        "account_name": "SuperAgent sandbox",
        "attempted": False,
        "automatic_tax": no_tax(),
        "collection_method": "charge_automatically",
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "issuer": {"type": "self"},
        "payment_settings": dict.fromkeys(settings),
        "status": "draft",
        "status_transitions": dict.fromkeys(moments),
        "total_taxes": [],
    }


def no_tax() -> dict[str, Any]:
    """Returns the automatic tax of an object without it."""
    return {"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None}


def next_discounts(discount_ids: list[str], now: int) -> list[str]:
    """Returns the discounts that remain after an invoice has used them."""
    return [name for name in discounts.still_valid(discount_ids, now) if not discounts.is_once(name)]


def answered(event: dict[str, Any]) -> None:
    """Set the hour after which a draft is finalized, once `invoice.created` was answered by every endpoint."""
    if event["type"] != "invoice.created":
        return
    invoice = store.find("invoice", event["data"]["object"]["id"])
    if invoice is None or invoice["webhooks_delivered_at"] is not None:
        return
    now = moment.now(invoice["customer"])
    changed = store.edit(invoice["id"])
    changed["webhooks_delivered_at"] = now
    due = changed["automatically_finalizes_at"]
    if due is not None:
        finalize_at(changed, min(due, max(now, changed["created"]) + DRAFT_HOURS * moment.HOUR))


def finalize_at(invoice: dict[str, Any], at: int) -> None:
    """Set when the draft is finalized and, if it is charged, paid."""
    invoice["automatically_finalizes_at"] = at
    if invoice["next_payment_attempt"] is not None:
        invoice["next_payment_attempt"] = at


deliveries.delivered_hooks.append(answered)
