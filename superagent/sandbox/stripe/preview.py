"""Invoice previews: the real code runs in a scratch layer of the store, and everything but the invoice is discarded."""

from typing import Any

from stripe.params import InvoiceCreatePreviewParams

from superagent.sandbox.store import clone, store
from superagent.sandbox.stripe import customers, ids, moment, subscription_changes, subscriptions
from superagent.sandbox.stripe.errors import StripeError, invalid, refuse, refuse_enabled
from superagent.sandbox.stripe.events import emit
from superagent.sandbox.stripe.routes import Call, route


@route("POST", "/v1/invoices/create_preview", InvoiceCreatePreviewParams)
def create_preview(call: Call) -> dict[str, Any]:
    params = call.params
    refuse(params, "schedule", "schedule_details", "invoice_items")
    refuse_enabled(params, "automatic_tax")
    details = dict(params.get("subscription_details", {}))
    with store.scratch():
        if "subscription" in params:
            invoice = _changed(params["subscription"], details, params)
        elif "items" in details:
            invoice = _started(params, details)
        elif "customer" in params:
            invoice = _next_of(customers.get(params["customer"])["id"])
        else:
            raise invalid("You must pass `customer` or `subscription`.", param="customer")
        return as_preview(invoice)


def as_preview(invoice: dict[str, Any]) -> dict[str, Any]:
    """Returns a preview: a draft without an id of its own that nothing will finalize."""
    shown = clone(invoice)
    shown.update(
        id=ids.new("upcoming_in"),
        automatically_finalizes_at=None,
        number=None,
        status="draft",
        hosted_invoice_url=None,
        invoice_pdf=None,
        webhooks_delivered_at=None,
    )
    for line in shown["lines"]["data"]:
        line["id"] = ids.new("il_tmp")
        line["invoice"] = shown["id"]
    return shown


def _changed(subscription_id: str, details: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    subscription = subscriptions.get(subscription_id, param="subscription", status=400)
    if subscription["ended_at"] is not None:
        raise invalid("Canceled subscriptions have no upcoming invoice.", code="invoice_upcoming_none")
    latest = subscription["latest_invoice"]
    if "discounts" in params:
        details["discounts"] = params["discounts"]
    names = (
        "items",
        "proration_behavior",
        "proration_date",
        "trial_end",
        "billing_cycle_anchor",
        "cancel_at",
        "cancel_at_period_end",
        "discounts",
        "add_invoice_items",
    )
    change = {name: details[name] for name in names if name in details}
    if change:
        subscription_changes.change(subscription_id, change, settle_payment=False)
    fresh = subscriptions.get(subscription_id)
    if fresh["latest_invoice"] != latest:
        invoice = dict(store.get(fresh["latest_invoice"]) or {})
        date = details.get("proration_date", moment.now(fresh["customer"]))
        invoice["parent"] = clone(invoice["parent"])
        invoice["parent"]["subscription_details"]["subscription_proration_date"] = date
        return invoice
    return _renewed(subscription_id)


def _renewed(subscription_id: str) -> dict[str, Any]:
    """Returns the invoice that the end of the period will draft."""
    subscription = store.edit(subscription_id)
    start, end = subscriptions.period(subscription)
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= end:
        waiting = subscriptions.pending_items(
            subscription["customer"], subscription_id, subscription["currency"]
        )
        if not waiting:
            raise invalid(
                f"No upcoming invoices for customer: {subscription['customer']}", code="invoice_upcoming_none"
            )
        return subscriptions.bill(
            subscription_id, "subscription_cycle", only_waiting=True, period=(start, end)
        )
    for hook in subscriptions.period_hooks:
        hook(subscription, end)
    if subscription["ended_at"] is not None:
        raise invalid(
            f"No upcoming invoices for customer: {subscription['customer']}", code="invoice_upcoming_none"
        )
    following = moment.following(
        subscription["billing_cycle_anchor"], subscriptions.recurring(subscription), end
    )
    subscriptions.set_period(subscription, end, following)
    invoice = subscriptions.bill(subscription_id, "subscription_cycle", period=(start, end), created=end)
    invoice["next_payment_attempt"] = end + moment.HOUR
    return invoice


def _started(params: dict[str, Any], details: dict[str, Any]) -> dict[str, Any]:
    """Returns the first invoice of a subscription that does not exist yet."""
    customer_id = params.get("customer") or customers.new(name="Preview")["id"]
    customers.get(customer_id)
    items = details["items"]
    prices: list[tuple[dict[str, Any], int | None, dict[str, Any]]] = [
        (
            subscription_changes.item_price(item, f"subscription_details[items][{index}]"),
            item.get("quantity"),
            {},
        )
        for index, item in enumerate(items)
    ]
    trial_end = subscription_changes.trial_end_of(details, moment.now(customer_id))
    subscription = subscriptions.new(
        customer_id=customer_id,
        prices=prices,
        trial_end=trial_end,
        discount_params=params.get("discounts"),
    )
    return subscriptions.bill(subscription["id"], "subscription_create", free=trial_end is not None)


def _next_of(customer_id: str) -> dict[str, Any]:
    found = [
        item
        for item in store.each("subscription")
        if item["customer"] == customer_id and item["ended_at"] is None
    ]
    if not found:
        raise invalid(f"No upcoming invoices for customer: {customer_id}", code="invoice_upcoming_none")
    soonest = min(found, key=lambda item: subscriptions.period(item)[1])
    return _renewed(soonest["id"])


def announce(subscription_id: str) -> None:
    """Emit `invoice.upcoming` with the preview of the coming renewal, once for each period."""
    subscription = store.edit(subscription_id)
    subscription["_upcoming"] = subscriptions.period(subscription)[1]
    try:
        with store.scratch():
            shown = as_preview(_renewed(subscription_id))
    except StripeError:  # its schedule ends it with the period
        return
    emit("invoice.upcoming", shown)
