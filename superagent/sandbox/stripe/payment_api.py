"""Endpoints of payment intents and charges."""

from typing import Any

from stripe.params import (
    ChargeListParams,
    ChargeRetrieveParams,
    PaymentIntentCancelParams,
    PaymentIntentConfirmParams,
    PaymentIntentCreateParams,
    PaymentIntentListParams,
    PaymentIntentRetrieveParams,
    PaymentIntentUpdateParams,
)

from superagent.sandbox.store import store
from superagent.sandbox.stripe import customers, payment_methods
from superagent.sandbox.stripe.errors import invalid, missing, refuse
from superagent.sandbox.stripe.paging import apply, apply_metadata, matches, matches_created
from superagent.sandbox.stripe.payments import MINIMUM_CENTS, cancel, confirm, error_of, get, new
from superagent.sandbox.stripe.routes import Call, Page, route


def _prepare(params: dict[str, Any]) -> dict[str, Any]:
    refuse(params, "transfer_data", "application_fee_amount", "on_behalf_of", "payment_method_data", "hooks")
    if params.get("capture_method") == "manual":
        raise invalid("The sandbox captures automatically only.", param="capture_method")
    names = (
        "description",
        "receipt_email",
        "setup_future_usage",
        "shipping",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_group",
    )
    return {name: params[name] or None for name in names if name in params}


@route("POST", "/v1/payment_intents", PaymentIntentCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    values = _prepare(params)
    if params["amount"] < MINIMUM_CENTS:
        raise invalid("Amount must be at least $0.50 usd", param="amount", code="amount_too_small")
    customer_id = customers.get(params["customer"])["id"] if "customer" in params else None
    automatic = params.get("automatic_payment_methods")
    if automatic or "payment_method_types" not in params:
        automatic = {"allow_redirects": "always", "enabled": True} | (automatic or {})
    intent = new(
        amount=params["amount"],
        currency=params["currency"].lower(),
        customer_id=customer_id,
        automatic_payment_methods=automatic or None,
        metadata=params.get("metadata") or {},
        **values,
    )
    if "payment_method" in params:
        intent["payment_method"] = _method_for(intent, params["payment_method"])["id"]
        intent["status"] = "requires_confirmation"
    if params.get("confirm"):
        return _confirm(intent, params)
    return intent


def _method_for(intent: dict[str, Any], method_id: str | None) -> dict[str, Any]:
    method = payment_methods.get(method_id)
    if method["customer"] and method["customer"] != intent["customer"]:
        message = (
            f"The PaymentMethod {method['id']} belongs to a customer. "
            "Please include the customer in the `customer` parameter on the PaymentIntent."
        )
        raise invalid(message, param="payment_method")
    return method


def _confirm(intent: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    if intent["status"] not in ("requires_payment_method", "requires_confirmation"):
        message = f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}."
        raise invalid(message, code="payment_intent_unexpected_state")
    if not intent["payment_method"] and "payment_method" not in params:
        message = "You cannot confirm this PaymentIntent because it's missing a payment method."
        raise invalid(message, code="payment_intent_unexpected_state")
    method = _method_for(intent, params.get("payment_method") or intent["payment_method"])
    off_session = bool(params.get("off_session"))
    intent = confirm(intent["id"], method, off_session=off_session)
    if intent["status"] == "requires_payment_method":
        raise error_of(intent)
    if intent["status"] == "succeeded" and intent["setup_future_usage"] and intent["customer"]:
        payment_methods.attach(method["id"], intent["customer"])
        store.edit(method["id"])["_set_up"] = True
    if intent["next_action"] and params.get("return_url"):
        intent["next_action"]["redirect_to_url"]["return_url"] = params["return_url"]
    return intent


@route("GET", "/v1/payment_intents", PaymentIntentListParams)
def list_intents(call: Call) -> Page:
    found = [
        item
        for item in store.each("payment_intent")
        if matches(item, call.params, "customer") and matches_created(item, call.params)
    ]
    return Page(found, "/v1/payment_intents")


@route("GET", "/v1/payment_intents/{intent_id}", PaymentIntentRetrieveParams)
def retrieve(call: Call, intent_id: str) -> dict[str, Any]:
    return get(intent_id)


@route("POST", "/v1/payment_intents/{intent_id}", PaymentIntentUpdateParams)
def update(call: Call, intent_id: str) -> dict[str, Any]:
    params = call.params
    get(intent_id)
    values = _prepare(params)
    intent = store.edit(intent_id)
    intent.update(values)
    apply(intent, params, "amount", "currency")
    apply_metadata(intent, params)
    if "payment_method" in params:
        intent["payment_method"] = _method_for(intent, params["payment_method"])["id"]
    return intent


@route("POST", "/v1/payment_intents/{intent_id}/confirm", PaymentIntentConfirmParams)
def confirm_intent(call: Call, intent_id: str) -> dict[str, Any]:
    return _confirm(get(intent_id), call.params)


@route("POST", "/v1/payment_intents/{intent_id}/cancel", PaymentIntentCancelParams)
def cancel_intent(call: Call, intent_id: str) -> dict[str, Any]:
    return cancel(intent_id, call.params.get("cancellation_reason"))


@route("GET", "/v1/charges", ChargeListParams)
def list_charges(call: Call) -> Page:
    found = [
        charge
        for charge in store.each("charge")
        if matches(charge, call.params, "customer", "payment_intent") and matches_created(charge, call.params)
    ]
    return Page(found, "/v1/charges")


@route("GET", "/v1/charges/{charge_id}", ChargeRetrieveParams)
def retrieve_charge(call: Call, charge_id: str) -> dict[str, Any]:
    charge = store.find("charge", charge_id)
    if charge is None:
        raise missing("charge", charge_id)
    return charge
