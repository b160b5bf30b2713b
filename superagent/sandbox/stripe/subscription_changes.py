"""Changes of a subscription: items and their proration, trial, anchor, cancellation and plain fields."""

from typing import Any

from superagent.sandbox.store import clone, store
from superagent.sandbox.stripe import (
    catalog,
    discounts,
    invoicing,
    lines,
    moment,
    payment_methods,
    proration,
    subscriptions,
)
from superagent.sandbox.stripe.errors import invalid, missing, refuse, refuse_enabled
from superagent.sandbox.stripe.events import emit
from superagent.sandbox.stripe.paging import apply, apply_metadata

NOT_BUILT = (
    "application_fee_percent",
    "backdate_start_date",
    "billing_schedules",
    "billing_thresholds",
    "billing_cycle_anchor_config",
    "default_source",
    "on_behalf_of",
    "pending_invoice_item_interval",
    "transfer_data",
    "default_tax_rates",
    "trial_from_plan",
)


def item_price(item: dict[str, Any], place: str) -> dict[str, Any]:
    """Returns the price that an item parameter names or describes."""
    refuse(item, "billing_thresholds", "tax_rates", "discounts", "plan")
    if "price_data" in item:
        return catalog.inline_price(item["price_data"], param=f"{place}[price_data]")
    if "price" not in item:
        raise invalid(
            f"Missing required param: {place}[price].", param=f"{place}[price]", code="parameter_missing"
        )
    return catalog.usable_price(item["price"], param=f"{place}[price]")


def extra_lines(params: dict[str, Any], customer_id: str, subscription_id: str) -> None:
    """Turn `add_invoice_items` into invoice items that the next invoice takes up."""
    for index, item in enumerate(params.get("add_invoice_items", [])):
        price = item_price(item, f"add_invoice_items[{index}]")
        count = item.get("quantity", 1)
        proration.invoice_item(
            customer_id=customer_id,
            amount=catalog.amount(price, count),
            currency=price["currency"],
            quantity=count,
            description=catalog.product(price["product"])["name"],
            pricing=lines.pricing(price),
            parent={
                "subscription_details": {"subscription": subscription_id, "subscription_item": None},
                "type": "subscription_details",
            },
            metadata=item.get("metadata") or {},
        )


def trial_end_of(params: dict[str, Any], now: int) -> int | None:
    """Returns when the trial ends that the parameters ask for."""
    if params.get("trial_end") == "now":
        return None
    if "trial_end" in params:
        if params["trial_end"] <= now:
            raise invalid("The trial end must be in the future.", param="trial_end")
        return int(params["trial_end"])
    days = params.get("trial_period_days")
    return now + days * moment.DAY if days else None


def own_method(params: dict[str, Any], customer_id: str) -> dict[str, Any] | None:
    if not params.get("default_payment_method"):
        return None
    method = payment_methods.get(params["default_payment_method"], param="default_payment_method")
    if method["customer"] != customer_id:
        message = (
            f"The customer does not have a payment method with the ID {method['id']}. "
            "The payment method must be attached to the customer."
        )
        raise invalid(message, param="default_payment_method", code="resource_missing")
    return method


def schedule_end(subscription: dict[str, Any]) -> None:
    """Set the end of a subscription that stops with its period."""
    subscription["cancel_at"] = subscriptions.period(subscription)[1]
    subscription["canceled_at"] = moment.now(subscription["customer"])
    subscription["cancellation_details"]["reason"] = "cancellation_requested"


def change(subscription_id: str, params: dict[str, Any], *, settle_payment: bool = True) -> dict[str, Any]:
    """Apply an update: items and their proration, trial, anchor, cancellation and plain fields."""
    refuse(params, *NOT_BUILT)
    refuse_enabled(params, "automatic_tax")
    refuse(params.get("pause_collection") or {}, "resumes_at")
    found = subscriptions.get(subscription_id)
    if found["ended_at"] is not None and set(params) - {"metadata", "expand", "cancellation_details"}:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    _refuse_scheduled(found, params)
    subscription = store.edit(subscription_id)
    before = clone(subscription)
    _apply_plain(subscription, params)
    invoice = _apply_money(subscription, before, params)
    subscription = store.edit(subscription_id)
    emit("customer.subscription.updated", subscription, before)
    if invoice is not None and settle_payment:
        collect(subscription_id, invoice, params)
    return store.edit(subscription_id)


def _refuse_scheduled(subscription: dict[str, Any], params: dict[str, Any]) -> None:
    """Refuse changes of what a schedule controls: change the schedule, or release it first."""
    if subscription["schedule"] is None:
        return
    if "cancel_at" in params or "cancel_at_period_end" in params:
        message = (
            f"The subscription is managed by the subscription schedule `{subscription['schedule']}`, and updating any "
            "cancelation behavior directly is not allowed. Please update the schedule instead."
        )
        raise invalid(message)
    refuse(params, "items", "trial_end", "billing_cycle_anchor", "discounts")


def _apply_plain(subscription: dict[str, Any], params: dict[str, Any]) -> None:
    customer_id = subscription["customer"]
    apply(subscription, params, "description", "days_until_due", "collection_method", "pause_collection")
    apply_metadata(subscription, params)
    if "default_payment_method" in params:
        method = own_method(params, customer_id)
        subscription["default_payment_method"] = method["id"] if method else None
    if "payment_settings" in params:
        given = subscription["payment_settings"] | params["payment_settings"]
        subscription["payment_settings"] = subscriptions.payment_settings(given)
    if "trial_settings" in params:
        subscription["trial_settings"] = params["trial_settings"]
    if "cancellation_details" in params:
        subscription["cancellation_details"] |= {
            name: value or None for name, value in params["cancellation_details"].items()
        }
    if "discounts" in params:
        subscription["discounts"] = (
            []
            if params["discounts"] == ""
            else discounts.redeem(
                params["discounts"], customer_id=customer_id, subscription=subscription["id"]
            )
            or subscription["discounts"]
        )
    _apply_end(subscription, params)


def _apply_end(subscription: dict[str, Any], params: dict[str, Any]) -> None:
    if "cancel_at" in params:
        at = params["cancel_at"]
        if at in ("max_billed_until", "max_period_end", "min_period_end"):
            at = subscriptions.period(subscription)[1]
        subscription["cancel_at"] = at or None
        subscription["cancel_at_period_end"] = False
        subscription["canceled_at"] = moment.now(subscription["customer"]) if at else None
        subscription["cancellation_details"]["reason"] = "cancellation_requested" if at else None
    if "cancel_at_period_end" not in params:
        return
    wanted = params["cancel_at_period_end"]
    if wanted and not subscription["cancel_at_period_end"]:
        schedule_end(subscription)
    elif not wanted and subscription["cancel_at_period_end"]:
        subscription["cancel_at"] = subscription["canceled_at"] = None
        if "cancellation_details" not in params:
            subscription["cancellation_details"] = {"comment": None, "feedback": None, "reason": None}
    subscription["cancel_at_period_end"] = wanted


def _apply_money(
    subscription: dict[str, Any], before: dict[str, Any], params: dict[str, Any]
) -> dict[str, Any] | None:
    """Apply items, trial and anchor. Returns the invoice that must be paid now."""
    now = moment.now(subscription["customer"])
    items_before = clone(subscriptions.items(before))
    if "items" in params:
        _apply_items(subscription, params["items"])
    trialing = subscription["status"] == "trialing"
    if "trial_end" in params or "trial_period_days" in params:
        end = trial_end_of(params, now)
        if end:
            subscription.update(status="trialing", trial_end=end, billing_cycle_anchor=end)
            subscription["trial_start"] = subscription["trial_start"] or now
            start = subscriptions.period(subscription)[0]
            subscriptions.set_period(subscription, start if trialing else now, end)
            return None
        if trialing:
            subscription.update(status="active", trial_end=now)
            return proration.settle(
                subscription["id"], [], behavior="none", at=now, restart=True, trial=False
            )
    restart = params.get("billing_cycle_anchor") == "now" or (
        not trialing and proration.restarts_cycle(items_before, subscriptions.items(subscription))
    )
    if subscription["status"] in ("incomplete", "canceled", "incomplete_expired"):
        return None
    extra_lines(params, subscription["customer"], subscription["id"])
    return proration.settle(
        subscription["id"],
        items_before,
        behavior=params.get("proration_behavior", "create_prorations"),
        at=params.get("proration_date", now),
        restart=restart,
        trial=trialing,
    )


def _apply_items(subscription: dict[str, Any], given: list[dict[str, Any]]) -> None:
    data = subscriptions.items(subscription)
    span = subscriptions.period(subscription)
    for index, change_ in enumerate(given):
        place = f"items[{index}]"
        if "id" not in change_:
            price = item_price(change_, place)
            if any(item["price"]["id"] == price["id"] for item in data):
                message = f"Cannot add multiple subscription items with the same plan: {price['id']}"
                raise invalid(message, param=f"{place}[price]")
            data.append(
                subscriptions.new_item(
                    subscription["id"],
                    price,
                    change_.get("quantity"),
                    span,
                    metadata=change_.get("metadata") or {},
                )
            )
            continue
        item = next((item for item in data if item["id"] == change_["id"]), None)
        if item is None:
            raise missing("subscription item", change_["id"], param=f"{place}[id]", status=400)
        if change_.get("deleted"):
            data.remove(item)
            continue
        if "price" in change_ or "price_data" in change_:
            price = item_price(change_, place)
            item["price"], item["plan"] = clone(price), catalog.plan(price)
        if "quantity" in change_:
            item["quantity"] = change_["quantity"]
        apply_metadata(item, change_)
    if not data:
        raise invalid("A subscription must have at least one active plan.", param="items")
    subscriptions.check_prices([item["price"] for item in data])


def collect(subscription_id: str, invoice: dict[str, Any], params: dict[str, Any]) -> None:
    """Finalize and charge the invoice of a change at once."""
    subscription = store.get(subscription_id)
    invoice = invoicing.finalize(invoice["id"])
    if invoice["status"] != "open" or (subscription or {})["collection_method"] == "send_invoice":
        return
    invoice = invoicing.pay(invoice["id"], off_session=bool(params.get("off_session")))
    if invoice["status"] == "open" and params.get("payment_behavior") == "error_if_incomplete":
        error = invoicing.payment_error(invoice)
        error.keeps_changes = False
        raise error
