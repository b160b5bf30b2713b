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
    customers,
    invoicing,
    moment,
    payment_methods,
    proration,
    subscriptions,
)
from superagent.sandbox.stripe.errors import StripeError, invalid, missing, refuse, refuse_enabled
from superagent.sandbox.stripe.events import emit
from superagent.sandbox.stripe.paging import matches, matches_created
from superagent.sandbox.stripe.routes import Call, Page, route
from superagent.sandbox.stripe.subscription_changes import (
    NOT_BUILT,
    change,
    collect,
    extra_lines,
    item_price,
    own_method,
    schedule_end,
    trial_end_of,
)


@route("POST", "/v1/subscriptions", SubscriptionCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    refuse(params, *NOT_BUILT)
    refuse_enabled(params, "automatic_tax")
    refuse(params.get("pause_collection") or {}, "resumes_at")
    customer = customers.get(params.get("customer"))
    given = params.get("items")
    if not given:
        raise invalid("Missing required param: items.", param="items", code="parameter_missing")
    prices = [
        (item_price(item, f"items[{index}]"), item.get("quantity"), {"metadata": item.get("metadata") or {}})
        for index, item in enumerate(given)
    ]
    now = moment.now(customer["id"])
    method = own_method(params, customer["id"])
    trial_end = trial_end_of(params, now)
    anchor = params.get("billing_cycle_anchor")
    subscription = subscriptions.new(
        customer_id=customer["id"],
        prices=prices,
        trial_end=trial_end,
        anchor=anchor,
        discount_params=params.get("discounts"),
        metadata=params.get("metadata") or {},
        **_values(params, method),
    )
    extra_lines(params, customer["id"], subscription["id"])
    _first_payment(subscription, params, method)
    return store.edit(subscription["id"])


def _values(params: dict[str, Any], method: dict[str, Any] | None) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: params[name] or None
        for name in ("description", "days_until_due", "pause_collection")
        if name in params
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


def _first_payment(
    subscription: dict[str, Any], params: dict[str, Any], method: dict[str, Any] | None
) -> None:
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
        subscription["id"],
        chosen,
        off_session=bool(params.get("off_session")),
        charge=behavior != "default_incomplete",
    )
    if behavior == "error_if_incomplete" and invoice["status"] == "open":
        error = invoicing.payment_error(invoice)
        error.keeps_changes = False
        raise error
    fresh = store.edit(subscription["id"])
    if fresh["cancel_at_period_end"]:
        schedule_end(fresh)


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
        if (
            _has_status(item, params.get("status"))
            and _has_price(item, params.get("price"))
            and matches(item, params, "customer", "collection_method")
            and matches_created(item, params)
        ):
            found.append(item)
    return Page(found, "/v1/subscriptions")


def _has_status(subscription: dict[str, Any], wanted: str | None) -> bool:
    if wanted is None:
        return bool(subscription["status"] != "canceled")
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


@route("DELETE", "/v1/subscriptions/{subscription_id}", SubscriptionCancelParams)
def cancel(call: Call, subscription_id: str) -> dict[str, Any]:
    if subscriptions.get(subscription_id)["ended_at"] is not None:
        raise missing("subscription", subscription_id)
    return end_now(subscription_id, call.params)


def end_now(subscription_id: str, params: dict[str, Any]) -> dict[str, Any]:
    """Cancel at once; `prorate` credits the unused time, `invoice_now` bills pending items."""
    subscription = subscriptions.get(subscription_id)
    if params.get("prorate") and subscription["status"] not in ("trialing", "incomplete"):
        now = moment.now(subscription["customer"])
        proration.credit(subscription, clone(subscriptions.items(subscription)), now)
    details = {name: value or None for name, value in params.get("cancellation_details", {}).items()}
    ended = subscriptions.end(subscription_id, reason="cancellation_requested", details=details)
    if params.get("invoice_now"):
        waiting = subscriptions.pending_items(ended["customer"], subscription_id, ended["currency"])
        if waiting:
            invoice = subscriptions.bill(subscription_id, "manual", only_waiting=True)
            collect(subscription_id, invoice, {"off_session": True})
    return store.edit(subscription_id)


@route("POST", "/v1/subscriptions/{subscription_id}/resume", SubscriptionResumeParams)
def resume(call: Call, subscription_id: str) -> dict[str, Any]:
    subscription = subscriptions.get(subscription_id)
    if subscription["status"] != "paused":
        raise invalid(
            f"Subscription {subscription_id} is not paused; only paused subscriptions can be resumed."
        )
    changed = store.edit(subscription_id)
    before = clone(changed)
    changed["status"] = "active"
    invoice = proration.settle(subscription_id, [], behavior="none", at=0, restart=True, trial=False)
    emit("customer.subscription.updated", changed, before)
    emit("customer.subscription.resumed", changed)
    if invoice:
        collect(subscription_id, invoice, {"off_session": True})
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
