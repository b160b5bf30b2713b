"""Payment intents and charges: taking money from a card."""

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

from superagent.sandbox.settings import settings
from superagent.sandbox.store import store
from superagent.sandbox.stripe import cards, customers, ids, moment, payment_methods, shapes
from superagent.sandbox.stripe.errors import invalid, missing, refuse
from superagent.sandbox.stripe.events import emit
from superagent.sandbox.stripe.paging import apply, apply_metadata, matches, matches_created
from superagent.sandbox.stripe.render import plain
from superagent.sandbox.stripe.routes import Call, Page, route

MINIMUM_CENTS = 50


def get(intent_id: str | None, *, status: int = 404) -> dict[str, Any]:
    """Return a payment intent that exists."""
    intent = store.find("payment_intent", intent_id)
    if intent is None:
        raise missing("payment_intent", str(intent_id), param="intent", status=status)
    return intent


def new(*, amount: int, currency: str, customer_id: str | None, **values: Any) -> dict[str, Any]:
    """Add a payment intent and emit `payment_intent.created`."""
    intent_id = ids.new("pi")
    intent = store.add(shapes.build("payment_intent", **({
        "id": intent_id, "amount": amount, "amount_capturable": 0, "amount_received": 0,
        "amount_details": {"tip": {}}, "capture_method": "automatic_async",
        "client_secret": ids.client_secret(intent_id), "confirmation_method": "automatic",
        "created": moment.now(customer_id), "currency": currency, "customer": customer_id,
        "payment_method_options": {"card": {
            "installments": None, "mandate_options": None, "network": None, "request_three_d_secure": "automatic",
        }},
        "payment_method_types": ["card"], "status": "requires_payment_method",
    } | values)))
    emit("payment_intent.created", intent)
    return intent


def confirm(
    intent_id: str,
    method: dict[str, Any],
    *,
    off_session: bool,
    authenticated: bool = False,
    at_checkout: bool = False,
) -> dict[str, Any]:
    """Charge the card. The intent ends succeeded, requires_action, or requires_payment_method with its error."""
    intent = store.edit(intent_id)
    intent["payment_method"] = method["id"]
    behavior = cards.behavior(method)
    asks = behavior.authenticate == "always" or (behavior.authenticate == "unless_set_up" and not method["_set_up"])
    if asks and not authenticated:
        if off_session:
            _fail(intent, method, "authentication_required")
        else:
            intent["status"] = "requires_action"
            intent["next_action"] = {
                "type": "redirect_to_url",
                "redirect_to_url": {"url": f"{settings.url}/c/authenticate/intent/{intent_id}", "return_url": None},
            }
            emit("payment_intent.requires_action", intent)
        return intent
    if behavior.charge and not (at_checkout and behavior.pays_at_checkout):
        _fail(intent, method, behavior.charge)
        return intent
    if authenticated:
        store.edit(method["id"])["_set_up"] = True
    _succeed(intent, method)
    return intent


def fail_authentication(intent_id: str) -> None:
    """Record that the customer did not prove who they are."""
    intent = store.edit(intent_id)
    method = payment_methods.get(intent["payment_method"])
    intent["status"], intent["next_action"], intent["payment_method"] = "requires_payment_method", None, None
    intent["last_payment_error"] = {
        "code": "payment_intent_authentication_failure",
        "doc_url": "https://stripe.com/docs/error-codes/payment-intent-authentication-failure",
        "message": "The provided PaymentMethod has failed authentication.",
        "payment_method": plain(method), "type": "invalid_request_error",
    }
    emit("payment_intent.payment_failed", intent)


def _succeed(intent: dict[str, Any], method: dict[str, Any]) -> None:
    charge = _charge(intent, method, None)
    intent.update(
        amount_received=intent["amount"], latest_charge=charge["id"], status="succeeded", next_action=None,
        last_payment_error=None,
    )
    emit("charge.succeeded", charge)
    emit("payment_intent.succeeded", intent)


def _fail(intent: dict[str, Any], method: dict[str, Any], reason: str) -> None:
    charge = _charge(intent, method, reason)
    code, message = cards.DECLINES[reason]
    intent.update(
        latest_charge=charge["id"], status="requires_payment_method", payment_method=None, next_action=None,
        last_payment_error={
            "charge": charge["id"], "code": code, "decline_code": reason,
            "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
            "message": message, "payment_method": plain(method), "type": "card_error",
        },
    )
    emit("charge.failed", charge)
    emit("payment_intent.payment_failed", intent)


def error_of(intent: dict[str, Any]) -> Exception:
    """Return the 402 that answers the request whose charge failed."""
    problem = intent["last_payment_error"]
    return payment_methods.declined(
        problem.get("decline_code", "generic_decline"), charge=problem.get("charge"), payment_intent=plain(intent),
        payment_method=problem["payment_method"],
    )


def _charge(intent: dict[str, Any], method: dict[str, Any], reason: str | None) -> dict[str, Any]:
    paid = reason is None
    code, message = (None, None) if reason is None else cards.DECLINES[reason]
    charge_id = ids.new("ch")
    card = {
        name: method["card"][name]
        for name in ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4", "wallet")
    }
    return store.add(shapes.build(
        "charge",
        id=charge_id, amount=intent["amount"], amount_captured=intent["amount"] if paid else 0, amount_refunded=0,
        balance_transaction=transaction(charge_id, intent["amount"], intent["currency"], "charge") if paid else None,
        billing_details=method["billing_details"], calculated_statement_descriptor="SUPERAGENT SANDBOX",
        captured=paid, created=moment.now(intent["customer"]), currency=intent["currency"],
        customer=intent["customer"], description=intent["description"], disputed=False, failure_code=code,
        failure_message=message, fraud_details={}, metadata=dict(intent["metadata"]),
        outcome={
            "advice_code": None if paid else "try_again_later", "network_advice_code": None,
            "network_decline_code": None if paid else "01",
            "network_status": "approved_by_network" if paid else "declined_by_network", "reason": reason,
            "risk_level": "normal", "risk_score": 20,
            "seller_message": "Payment complete." if paid else "The bank did not return any further details.",
            "type": "authorized" if paid else "issuer_declined",
        },
        paid=paid, payment_intent=intent["id"], payment_method=method["id"],
        payment_method_details={"card": {
            **card, "amount_authorized": intent["amount"] if paid else None, "network": card["brand"],
            "three_d_secure": None, "installments": None, "mandate": None,
        }, "type": "card"},
        radar_options={}, receipt_email=intent["receipt_email"],
        receipt_url=f"{settings.url}/receipts/{charge_id}" if paid else None, refunded=False,
        status="succeeded" if paid else "failed",
    ))


def transaction(source: str, amount: int, currency: str, kind: str) -> str:
    """Keep the movement on our own Stripe balance (2.9 % + 30 on charges) and return its id."""
    fee = round(amount * 0.029) + 30 if kind == "charge" else 0
    now = moment.real()
    details = [{"amount": fee, "application": None, "currency": currency,
                "description": "Stripe processing fees", "type": "stripe_fee"}] if fee else []
    made = store.add(shapes.build(
        "balance_transaction",
        id=ids.new("txn"), amount=amount, available_on=now + 2 * moment.DAY, balance_type="payments", created=now,
        currency=currency, fee=fee, fee_details=details, net=amount - fee, reporting_category=kind, source=source,
        status="pending", type=kind,
    ))
    return made["id"]


# The API


def _prepare(params: dict[str, Any]) -> dict[str, Any]:
    refuse(params, "transfer_data", "application_fee_amount", "on_behalf_of", "payment_method_data", "hooks")
    if params.get("capture_method") == "manual":
        raise invalid("The sandbox captures automatically only.", param="capture_method")
    names = ("description", "receipt_email", "setup_future_usage", "shipping", "statement_descriptor",
             "statement_descriptor_suffix", "transfer_group")
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
        amount=params["amount"], currency=params["currency"].lower(), customer_id=customer_id,
        automatic_payment_methods=automatic or None, metadata=params.get("metadata") or {}, **values,
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
        item for item in store.each("payment_intent")
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


def cancel(intent_id: str, reason: str | None) -> dict[str, Any]:
    """Cancel an intent that has not succeeded; emit `payment_intent.canceled`."""
    found = get(intent_id)
    if found["status"] in ("succeeded", "canceled"):
        message = f"You cannot cancel this PaymentIntent because it has a status of {found['status']}."
        raise invalid(message, code="payment_intent_unexpected_state")
    intent = store.edit(intent_id)
    intent.update(
        status="canceled", canceled_at=moment.now(intent["customer"]), cancellation_reason=reason, next_action=None
    )
    emit("payment_intent.canceled", intent)
    return intent


@route("GET", "/v1/charges", ChargeListParams)
def list_charges(call: Call) -> Page:
    found = [
        charge for charge in store.each("charge")
        if matches(charge, call.params, "customer", "payment_intent") and matches_created(charge, call.params)
    ]
    return Page(found, "/v1/charges")


@route("GET", "/v1/charges/{charge_id}", ChargeRetrieveParams)
def retrieve_charge(call: Call, charge_id: str) -> dict[str, Any]:
    charge = store.find("charge", charge_id)
    if charge is None:
        raise missing("charge", charge_id)
    return charge
