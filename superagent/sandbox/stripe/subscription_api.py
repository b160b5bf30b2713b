"""Endpoints of subscriptions and their items."""

from typing import Any

from stripe.params import (
    SubscriptionCancelParams,
    SubscriptionCreateParams,
    SubscriptionItemListParams,
    SubscriptionItemRetrieveParams,
    SubscriptionItemUpdateParams,
    SubscriptionListParams,
    SubscriptionResumeParams,
    SubscriptionRetrieveParams,
    SubscriptionUpdateParams,
)

from superagent.sandbox.store import clone, store
from superagent.sandbox.stripe import (
    catalog,
    customers,
    discounts,
    invoicing,
    lines,
    moment,
    payment_methods,
    proration,
    subscriptions,
)
from superagent.sandbox.stripe.errors import StripeError, invalid, missing, refuse
from superagent.sandbox.stripe.events import emit
from superagent.sandbox.stripe.paging import apply, apply_metadata, matches, matches_created
from superagent.sandbox.stripe.routes import Call, Page, route

NOT_BUILT = ("application_fee_percent", "backdate_start_date", "billing_schedules", "billing_thresholds",
             "billing_cycle_anchor_config", "default_source", "on_behalf_of", "pending_invoice_item_interval",
             "transfer_data", "default_tax_rates", "trial_from_plan")


def item_price(item: dict[str, Any], place: str) -> dict[str, Any]:
    """Return the price that an item parameter names or describes."""
    refuse(item, "billing_thresholds", "tax_rates", "discounts", "plan")
    if "price_data" in item:
        return catalog.inline_price(item["price_data"], param=f"{place}[price_data]")
    if "price" not in item:
        raise invalid(f"Missing required param: {place}[price].", param=f"{place}[price]", code="parameter_missing")
    return catalog.usable_price(item["price"], param=f"{place}[price]")


def extra_lines(params: dict[str, Any], customer_id: str, subscription_id: str) -> None:
    """Turn `add_invoice_items` into invoice items that the next invoice takes up."""
    for index, item in enumerate(params.get("add_invoice_items", [])):
        price = item_price(item, f"add_invoice_items[{index}]")
        count = item.get("quantity", 1)
        proration.invoice_item(
            customer_id=customer_id, amount=catalog.amount(price, count), currency=price["currency"], quantity=count,
            description=catalog.product(price["product"])["name"], pricing=lines.pricing(price),
            parent={"subscription_details": {"subscription": subscription_id, "subscription_item": None},
                    "type": "subscription_details"},
            metadata=item.get("metadata") or {},
        )


def trial_end_of(params: dict[str, Any], prices: list[dict[str, Any]], now: int) -> int | None:
    """Return when the trial ends that the parameters ask for."""
    if params.get("trial_end") == "now":
        return None
    if "trial_end" in params:
        if params["trial_end"] <= now:
            raise invalid("The trial end must be in the future.", param="trial_end")
        return int(params["trial_end"])
    days = params.get("trial_period_days")
    return now + days * moment.DAY if days else None


@route("POST", "/v1/subscriptions", SubscriptionCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    refuse(params, *NOT_BUILT)
    customer = customers.get(params.get("customer"))
    given = params.get("items")
    if not given:
        raise invalid("Missing required param: items.", param="items", code="parameter_missing")
    prices = [
        (item_price(item, f"items[{index}]"), item.get("quantity"), {"metadata": item.get("metadata") or {}})
        for index, item in enumerate(given)
    ]
    now = moment.now(customer["id"])
    method = _method(params, customer["id"])
    trial_end = trial_end_of(params, [price for price, _, _ in prices], now)
    anchor = params.get("billing_cycle_anchor")
    subscription = subscriptions.new(
        customer_id=customer["id"], prices=prices, trial_end=trial_end, anchor=anchor,
        discount_params=params.get("discounts"), metadata=params.get("metadata") or {},
        **_values(params, method),
    )
    extra_lines(params, customer["id"], subscription["id"])
    _first_payment(subscription, params, method)
    return store.edit(subscription["id"])


def _method(params: dict[str, Any], customer_id: str) -> dict[str, Any] | None:
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


def _values(params: dict[str, Any], method: dict[str, Any] | None) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: params[name] or None for name in ("description", "days_until_due", "pause_collection") if name in params
    }
    if method:
        values["default_payment_method"] = method["id"]
    if "collection_method" in params:
        values["collection_method"] = params["collection_method"]
    if params.get("cancel_at_period_end"):
        values["cancel_at_period_end"] = True
    if isinstance(params.get("cancel_at"), int):
        values["cancel_at"] = params["cancel_at"]
    if "payment_settings" in params:
        values["payment_settings"] = subscriptions.payment_settings(params["payment_settings"])
    if "trial_settings" in params:
        values["trial_settings"] = params["trial_settings"]
    return values


def _first_payment(subscription: dict[str, Any], params: dict[str, Any], method: dict[str, Any] | None) -> None:
    behavior = params.get("payment_behavior", "allow_incomplete")
    customer_id = subscription["customer"]
    chosen = method or payment_methods.default_for(customer_id)
    trial = subscription["status"] == "trialing"
    automatic = subscription["collection_method"] == "charge_automatically"
    if automatic and chosen is None and not trial and behavior != "default_incomplete":
        message = (
            "This customer has no attached payment source or default payment method. Please consider adding a "
            "default payment method."
        )
        raise StripeError(message, code="resource_missing")
    invoice = subscriptions.start(
        subscription["id"], chosen, off_session=bool(params.get("off_session")),
        charge=behavior != "default_incomplete",
    )
    if behavior == "error_if_incomplete" and invoice["status"] == "open":
        error = invoicing.payment_error(invoice)
        error.keeps_changes = False
        raise error
    fresh = store.edit(subscription["id"])
    if fresh["cancel_at_period_end"]:
        schedule_end(fresh)


def schedule_end(subscription: dict[str, Any]) -> None:
    """Set the end of a subscription that stops with its period."""
    subscription["cancel_at"] = subscriptions.period(subscription)[1]
    subscription["canceled_at"] = moment.now(subscription["customer"])
    subscription["cancellation_details"]["reason"] = "cancellation_requested"


@route("GET", "/v1/subscriptions", SubscriptionListParams)
def list_subscriptions(call: Call) -> Page:
    params = call.params
    refuse(params, "plan", "current_period_start", "current_period_end", "automatic_tax")
    found = []
    for item in store.each("subscription"):
        clocked = item["test_clock"] is not None and "customer" not in params
        if clocked and item["test_clock"] != params.get("test_clock"):
            continue
        if "test_clock" in params and item["test_clock"] != params["test_clock"]:
            continue
        if _has_status(item, params.get("status")) and _has_price(item, params.get("price")) \
                and matches(item, params, "customer", "collection_method") and matches_created(item, params):
            found.append(item)
    return Page(found, "/v1/subscriptions")


def _has_status(subscription: dict[str, Any], wanted: str | None) -> bool:
    if wanted is None:
        return subscription["status"] not in ("canceled",)
    if wanted == "all":
        return True
    if wanted == "ended":
        return subscription["status"] in ("canceled", "incomplete_expired")
    return subscription["status"] == wanted


def _has_price(subscription: dict[str, Any], wanted: str | None) -> bool:
    return wanted is None or any(item["price"]["id"] == wanted for item in subscriptions.items(subscription))


@route("GET", "/v1/subscriptions/{subscription_id}", SubscriptionRetrieveParams)
def retrieve(call: Call, subscription_id: str) -> dict[str, Any]:
    return subscriptions.get(subscription_id)


@route("POST", "/v1/subscriptions/{subscription_id}", SubscriptionUpdateParams)
def update(call: Call, subscription_id: str) -> dict[str, Any]:
    return change(subscription_id, call.params)


def change(subscription_id: str, params: dict[str, Any], *, settle_payment: bool = True) -> dict[str, Any]:
    """Carry out an update: items and their proration, trial, anchor, cancellation and plain fields."""
    refuse(params, *NOT_BUILT)
    found = subscriptions.get(subscription_id)
    if found["ended_at"] is not None:
        if set(params) - {"metadata", "expand", "cancellation_details"}:
            message = "A canceled subscription can only update its cancellation_details and metadata."
            raise invalid(message)
    subscription = store.edit(subscription_id)
    before = clone(subscription)
    _apply_plain(subscription, params)
    invoice = _apply_money(subscription, before, params)
    subscription = store.edit(subscription_id)
    emit("customer.subscription.updated", subscription, before)
    if invoice is not None and settle_payment:
        _collect(subscription_id, invoice, params)
    return store.edit(subscription_id)


def _apply_plain(subscription: dict[str, Any], params: dict[str, Any]) -> None:
    customer_id = subscription["customer"]
    apply(subscription, params, "description", "days_until_due", "collection_method", "pause_collection")
    apply_metadata(subscription, params)
    if "default_payment_method" in params:
        method = _method(params, customer_id)
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
        subscription["discounts"] = [] if params["discounts"] == "" else discounts.redeem(
            params["discounts"], customer_id=customer_id, subscription=subscription["id"]
        ) or subscription["discounts"]
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
    """Apply items, trial and anchor; return the invoice that must be paid now."""
    now = moment.now(subscription["customer"])
    items_before = clone(subscriptions.items(before))
    if "items" in params:
        _apply_items(subscription, params["items"])
    trialing = subscription["status"] == "trialing"
    if "trial_end" in params or "trial_period_days" in params:
        end = trial_end_of(params, [], now)
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
        subscription["id"], items_before, behavior=params.get("proration_behavior", "create_prorations"),
        at=params.get("proration_date", now), restart=restart, trial=trialing,
    )


def _apply_items(subscription: dict[str, Any], given: list[dict[str, Any]]) -> None:
    data = subscriptions.items(subscription)
    span = subscriptions.period(subscription)
    for index, change_ in enumerate(given):
        place = f"items[{index}]"
        if "id" not in change_:
            price = item_price(change_, place)
            if any(item["price"]["id"] == price["id"] for item in data):
                message = (
                    f"Cannot add multiple subscription items with the same plan: {price['id']}"
                )
                raise invalid(message, param=f"{place}[price]")
            data.append(subscriptions.new_item(
                subscription["id"], price, change_.get("quantity"), span, metadata=change_.get("metadata") or {},
            ))
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


def _collect(subscription_id: str, invoice: dict[str, Any], params: dict[str, Any]) -> None:
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


@route("DELETE", "/v1/subscriptions/{subscription_id}", SubscriptionCancelParams)
def cancel(call: Call, subscription_id: str) -> dict[str, Any]:
    params = call.params
    subscription = subscriptions.get(subscription_id)
    if subscription["ended_at"] is not None:
        raise missing("subscription", subscription_id)
    if params.get("prorate") and subscription["status"] not in ("trialing", "incomplete"):
        now = moment.now(subscription["customer"])
        proration.credit(subscription, clone(subscriptions.items(subscription)), now)
    details = {name: value or None for name, value in params.get("cancellation_details", {}).items()}
    ended = subscriptions.end(subscription_id, reason="cancellation_requested", details=details)
    if params.get("invoice_now"):
        waiting = subscriptions.pending_items(ended["customer"], subscription_id, ended["currency"])
        if waiting:
            invoice = subscriptions.bill(subscription_id, "manual", only_extra=True)
            _collect(subscription_id, invoice, {"off_session": True})
    return store.edit(subscription_id)


@route("POST", "/v1/subscriptions/{subscription_id}/resume", SubscriptionResumeParams)
def resume(call: Call, subscription_id: str) -> dict[str, Any]:
    subscription = subscriptions.get(subscription_id)
    if subscription["status"] != "paused":
        raise invalid(f"Subscription {subscription_id} is not paused; only paused subscriptions can be resumed.")
    changed = store.edit(subscription_id)
    before = clone(changed)
    changed["status"] = "active"
    invoice = proration.settle(subscription_id, [], behavior="none", at=0, restart=True, trial=False)
    emit("customer.subscription.updated", changed, before)
    emit("customer.subscription.resumed", changed)
    if invoice:
        _collect(subscription_id, invoice, {"off_session": True})
    return store.edit(subscription_id)


# Items


def _find_item(item_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    for subscription in store.each("subscription"):
        for item in subscriptions.items(subscription):
            if item["id"] == item_id:
                return subscription, item
    raise missing("subscription_item", item_id)


@route("GET", "/v1/subscription_items", SubscriptionItemListParams)
def list_items(call: Call) -> Page:
    subscription = subscriptions.get(call.params["subscription"], param="subscription")
    return Page(subscriptions.items(subscription)[::-1], "/v1/subscription_items")


@route("GET", "/v1/subscription_items/{item_id}", SubscriptionItemRetrieveParams)
def retrieve_item(call: Call, item_id: str) -> dict[str, Any]:
    return _find_item(item_id)[1]


@route("POST", "/v1/subscription_items/{item_id}", SubscriptionItemUpdateParams)
def update_item(call: Call, item_id: str) -> dict[str, Any]:
    subscription, _ = _find_item(item_id)
    params = dict(call.params)
    names = ("price", "price_data", "quantity", "metadata", "discounts", "tax_rates")
    item = {"id": item_id} | {name: params.pop(name) for name in names if name in params}
    refuse(params, "billing_thresholds", "plan")
    change(subscription["id"], params | {"items": [item]})
    return _find_item(item_id)[1]
