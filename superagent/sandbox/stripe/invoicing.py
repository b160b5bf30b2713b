"""The life of an invoice: draft, finalized, paid or failed, voided."""

from collections.abc import Callable
from typing import Any

from superagent.sandbox.settings import settings
from superagent.sandbox.store import clone, store
from superagent.sandbox.stripe import (
    ACCOUNT_ID,
    customers,
    ids,
    lines,
    moment,
    payment_methods,
    payments,
    shapes,
)
from superagent.sandbox.stripe.errors import StripeError, invalid, missing
from superagent.sandbox.stripe.events import emit, updating

# Days from one failed payment to the next attempt.
RETRY_DAYS = (3, 5, 7)

# Called with an invoice that was paid, that failed, or whose last attempt failed; subscriptions follow them.
paid_hooks: list[Callable[[dict[str, Any]], None]] = []
failed_hooks: list[Callable[[dict[str, Any]], None]] = []


def get(invoice_id: str | None, *, param: str = "invoice", status: int = 404) -> dict[str, Any]:
    """Returns an invoice that exists."""
    invoice = store.find("invoice", invoice_id)
    if invoice is None:
        raise missing("invoice", str(invoice_id), param=param, status=status)
    return invoice


def subscription_of(invoice: dict[str, Any]) -> str | None:
    """Returns the id of the subscription that an invoice bills."""
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    return details.get("subscription")


def editable(invoice_id: str) -> dict[str, Any]:
    """Returns a draft invoice for editing."""
    if get(invoice_id, status=400)["status"] != "draft":
        message = "This invoice is no longer editable."
        raise invalid(message, param="invoice", code="invoice_not_editable")
    return store.edit(invoice_id)


def finalize(invoice_id: str) -> dict[str, Any]:
    """Number the draft, apply the customer's credit, prepare its payment; with nothing to pay it is paid."""
    if get(invoice_id)["status"] != "draft":
        message = "This invoice is already finalized, you can't re-finalize a non-draft invoice."
        raise invalid(message, code="invoice_not_editable")
    invoice = store.edit(invoice_id)
    lines.total(invoice)
    customer_id, now = invoice["customer"], moment.now(invoice["customer"])
    _settle_balance(invoice)
    customer = store.edit(customer_id)
    invoice["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    customer["next_invoice_sequence"] += 1
    invoice["status"] = "open"
    invoice["effective_at"] = invoice["status_transitions"]["finalized_at"] = now
    invoice["automatically_finalizes_at"] = invoice["next_payment_attempt"] = None
    invoice["hosted_invoice_url"] = f"{settings.url}/i/{ACCOUNT_ID}/{invoice_id}"
    invoice["invoice_pdf"] = f"{settings.url}/i/{ACCOUNT_ID}/{invoice_id}/pdf"
    if invoice["collection_method"] == "send_invoice" and invoice["due_date"] is None:
        invoice["due_date"] = now + (invoice.get("_days_until_due") or 30) * moment.DAY
    elif invoice["auto_advance"] and invoice["amount_due"]:
        invoice["next_payment_attempt"] = now
    if invoice["amount_due"]:
        _prepare_payment(invoice)
    emit("invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        mark_paid(invoice_id)
    return store.edit(invoice_id)


def finalize_paid(invoice_id: str, intent: dict[str, Any]) -> None:
    """Finalize the invoice of an order that its payment intent has already paid."""
    invoice = store.edit(invoice_id)
    lines.total(invoice)
    customer = store.edit(invoice["customer"])
    now = moment.now(invoice["customer"])
    invoice.update(
        number=f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
        status="open",
        amount_due=intent["amount"],
        amount_remaining=intent["amount"],
        effective_at=now,
        starting_balance=customer["balance"],
        ending_balance=customer["balance"],
        _intent=intent["id"],
        hosted_invoice_url=f"{settings.url}/i/{ACCOUNT_ID}/{invoice_id}",
        invoice_pdf=f"{settings.url}/i/{ACCOUNT_ID}/{invoice_id}/pdf",
    )
    invoice["status_transitions"]["finalized_at"] = now
    customer["next_invoice_sequence"] += 1
    _expect(invoice, intent)
    emit("invoice.finalized", invoice)
    mark_paid(invoice_id)


def _settle_balance(invoice: dict[str, Any]) -> None:
    """Use the customer's credit, or give credit for a negative total; amounts below the minimum are carried over."""
    customer = customers.get(invoice["customer"])
    balance, total = customer["balance"], invoice["total"]
    due = max(0, total + balance) if total > 0 else 0
    if 0 < due < payments.MINIMUM_CENTS:
        due, ending = 0, total + balance
    elif total > 0:
        ending = min(0, balance + total)
    else:
        ending = balance + total
    invoice["amount_due"] = invoice["amount_remaining"] = due
    invoice["ending_balance"] = ending
    if ending != balance:
        customers.change_balance(
            customer["id"],
            ending - balance,
            currency=invoice["currency"],
            invoice=invoice["id"],
            type="applied_to_invoice",
        )


def _prepare_payment(invoice: dict[str, Any]) -> None:
    intent = payments.new(
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        customer_id=invoice["customer"],
        description="Subscription update"
        if subscription_of(invoice)
        else f"Payment for Invoice {invoice['number']}",
        receipt_email=invoice["customer_email"],
        setup_future_usage=invoice.get("_setup_future_usage"),
    )
    _expect(invoice, intent)
    invoice["_intent"] = intent["id"]


def _expect(invoice: dict[str, Any], intent: dict[str, Any]) -> None:
    """Tie a payment intent to the invoice that it pays."""
    store.edit(intent["id"])["_invoice"] = invoice["id"]
    store.add(
        shapes.build(
            "invoice_payment",
            id=ids.new("inpay"),
            amount_requested=invoice["amount_due"],
            created=intent["created"],
            currency=invoice["currency"],
            invoice=invoice["id"],
            is_default=True,
            status="open",
            payment={"payment_intent": intent["id"], "type": "payment_intent"},
            status_transitions={"canceled_at": None, "paid_at": None},
        )
    )


def pay(
    invoice_id: str,
    method: dict[str, Any] | None = None,
    *,
    off_session: bool,
    authenticated: bool = False,
    at_checkout: bool = False,
) -> dict[str, Any]:
    """Charge an open invoice to a card. Returns the invoice; its intent tells why if it is still open."""
    invoice = get(invoice_id)
    if invoice["status"] not in ("open", "uncollectible"):
        word = "already paid" if invoice["status"] == "paid" else invoice["status"]
        raise invalid(f"Invoice is {word}", code="invoice_not_payable" if word != "already paid" else None)
    subscription = store.get(subscription_of(invoice))
    method = method or payment_methods.default_for(invoice["customer"], invoice, subscription)
    if method is None:
        _fail(invoice_id)
        return store.edit(invoice_id)
    intent = payments.confirm(
        invoice["_intent"],
        method,
        off_session=off_session,
        authenticated=authenticated,
        at_checkout=at_checkout,
    )
    if intent["status"] == "succeeded":
        mark_paid(invoice_id)
    elif intent["status"] == "requires_action":
        with updating(invoice_id, "invoice.updated") as changed:
            changed["attempted"] = True
            changed["attempt_count"] += 1
        emit("invoice.payment_action_required", changed)
        _call(failed_hooks, changed)
    else:
        _fail(invoice_id)
    return store.edit(invoice_id)


def _call(hooks: list[Callable[[dict[str, Any]], None]], invoice: dict[str, Any]) -> None:
    for hook in hooks:
        hook(invoice)


def mark_paid(invoice_id: str, *, out_of_band: bool = False) -> None:
    """Mark the invoice as paid and notify its listeners."""
    invoice = store.edit(invoice_id)
    before = clone(invoice)
    now = moment.now(invoice["customer"])
    attempted = invoice["amount_due"] > 0 and not out_of_band
    invoice.update(
        status="paid",
        attempted=True,
        next_payment_attempt=None,
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        auto_advance=False,
        attempt_count=invoice["attempt_count"] + (1 if attempted else 0),
    )
    if out_of_band:
        invoice["amount_paid_off_stripe"] = invoice["amount_due"]
    invoice["status_transitions"]["paid_at"] = now
    payment = _payment(invoice_id)
    if payment:
        payment.update(status="canceled" if out_of_band else "paid")
        payment["amount_paid"] = None if out_of_band else invoice["amount_due"]
        payment["status_transitions"]["canceled_at" if out_of_band else "paid_at"] = now
    emit("invoice.updated", invoice, before)
    emit("invoice.paid", invoice)
    emit("invoice.payment_succeeded", invoice)
    if payment and not out_of_band:
        emit("invoice_payment.paid", payment)
    _set_delinquent(invoice["customer"], delinquent=False)
    _call(paid_hooks, invoice)


def _payment(invoice_id: str) -> dict[str, Any] | None:
    for payment in store.each("invoice_payment"):
        if payment["invoice"] == invoice_id:
            return store.edit(payment["id"])
    return None


def _set_delinquent(customer_id: str, *, delinquent: bool) -> None:
    if customers.get(customer_id)["delinquent"] != delinquent:
        with updating(customer_id, "customer.updated") as customer:
            customer["delinquent"] = delinquent


def _fail(invoice_id: str) -> None:
    """Record a failed payment; renewals and other automatic invoices are retried."""
    with updating(invoice_id, "invoice.updated") as invoice:
        invoice["attempted"] = True
        invoice["attempt_count"] += 1
        invoice["next_payment_attempt"] = None
        retries = invoice["attempt_count"] - 1
        if invoice["auto_advance"] and invoice["billing_reason"] != "subscription_create":
            if retries < len(RETRY_DAYS):
                pause = RETRY_DAYS[retries] * moment.DAY
                invoice["next_payment_attempt"] = moment.now(invoice["customer"]) + pause
            else:
                invoice["auto_advance"] = False
    _set_delinquent(invoice["customer"], delinquent=True)
    emit("invoice.payment_failed", invoice)
    _call(failed_hooks, invoice)


def void(invoice_id: str) -> dict[str, Any]:
    """Void an open or uncollectible invoice."""
    if get(invoice_id)["status"] not in ("open", "uncollectible"):
        raise invalid("You can only void open or uncollectible invoices.", code="invoice_not_editable")
    invoice = store.edit(invoice_id)
    before = clone(invoice)
    invoice.update(status="void", next_payment_attempt=None, auto_advance=False)
    invoice["status_transitions"]["voided_at"] = moment.now(invoice["customer"])
    _cancel_intent(invoice, "void_invoice")
    emit("invoice.updated", invoice, before)
    emit("invoice.voided", invoice)
    return invoice


def mark_uncollectible(invoice_id: str) -> dict[str, Any]:
    """Write off an open invoice."""
    if get(invoice_id)["status"] != "open":
        raise invalid("You can only mark open invoices as uncollectible.", code="invoice_not_editable")
    invoice = store.edit(invoice_id)
    before = clone(invoice)
    invoice.update(status="uncollectible", next_payment_attempt=None, auto_advance=False)
    invoice["status_transitions"]["marked_uncollectible_at"] = moment.now(invoice["customer"])
    emit("invoice.updated", invoice, before)
    emit("invoice.marked_uncollectible", invoice)
    return invoice


def _cancel_intent(invoice: dict[str, Any], reason: str) -> None:
    intent = store.get(invoice.get("_intent"))
    if intent and intent["status"] not in ("succeeded", "canceled"):
        payments.cancel(intent["id"], reason)
    payment = _payment(invoice["id"])
    if payment and payment["status"] == "open":
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = moment.now(invoice["customer"])


def payment_error(invoice: dict[str, Any]) -> StripeError:
    """Returns the 402 for an invoice that could not be paid."""
    intent = store.get(invoice.get("_intent"))
    if intent is None or (not intent["last_payment_error"] and intent["status"] != "requires_action"):
        message = "This customer has no attached payment source or default payment method."
        return StripeError(message, code="resource_missing", keeps_changes=True)
    if intent["status"] == "requires_action":
        message = "This payment requires additional user action before it can be completed successfully."
        return StripeError(
            message,
            status=402,
            kind="card_error",
            code="invoice_payment_intent_requires_action",
            keeps_changes=True,
        )
    return payments.error_of(intent)
