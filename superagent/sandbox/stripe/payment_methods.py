"""Payment methods: cards, saved on customers."""

import hashlib
from typing import Any

from stripe.params import (
    CustomerListPaymentMethodsParams,
    PaymentMethodAttachParams,
    PaymentMethodCreateParams,
    PaymentMethodDetachParams,
    PaymentMethodListParams,
    PaymentMethodRetrieveParams,
    PaymentMethodUpdateParams,
)

from superagent.sandbox.store import store
from superagent.sandbox.stripe import cards, customers, ids, moment, shapes
from superagent.sandbox.stripe.errors import StripeError, invalid, missing
from superagent.sandbox.stripe.events import emit, updating
from superagent.sandbox.stripe.paging import apply_metadata
from superagent.sandbox.stripe.routes import Call, Page, route

NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def get(method_id: str | None, *, param: str = "payment_method", status: int = 400) -> dict[str, Any]:
    """Returns a payment method; `pm_card_visa` and its like become new ones."""
    if method_id and method_id.startswith("pm_card_") and method_id[8:] in cards.NAMES:
        return new(cards.Card(cards.NAMES[method_id[8:]], 12, 2040, "123"))
    method = store.find("payment_method", method_id)
    if method is None:
        raise missing("PaymentMethod", str(method_id), param=param, status=status)
    return method


def new(card: cards.Card, billing: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
    """Add a payment method of a card."""
    network = cards.brand(card.number)
    return store.add(
        shapes.build(
            "payment_method",
            id=ids.new("pm"),
            allow_redisplay=values.pop("allow_redisplay", "unspecified"),
            billing_details=_billing(billing or {}),
            card=_card(card, network),
            created=moment.real(),
            type="card",
            _number=card.number,
            _set_up=False,
            **values,
        )
    )


def _billing(billing: dict[str, Any]) -> dict[str, Any]:
    given = {name: billing.get(name) or None for name in ("email", "name", "phone", "tax_id")}
    address = {name: billing.get("address", {}).get(name) or None for name in NO_ADDRESS}
    return {"address": address, **given}


def _card(card: cards.Card, network: str) -> dict[str, Any]:
    return {
        "brand": network,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass" if card.cvc else None,
        },
        "country": "US",
        "display_brand": {"amex": "american_express"}.get(network, network),
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "fingerprint": hashlib.sha256(card.number.encode()).hexdigest()[:16],
        "funding": "debit" if card.number == cards.NAMES["visa_debit"] else "credit",
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [network], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def declined(reason: str, **details: Any) -> StripeError:
    """Returns the error of a card that was declined."""
    code, message = cards.DECLINES[reason]
    return StripeError(
        message,
        status=402,
        kind="card_error",
        code=code,
        decline_code=reason,
        keeps_changes=True,
        **details,
    )


def attach(method_id: str, customer_id: str) -> dict[str, Any]:
    """Save a card on a customer, which asks the bank; emit `payment_method.attached`."""
    method = get(method_id)
    if method["customer"] == customer_id:
        return method
    if method["customer"]:
        raise invalid("The payment method you provided has already been attached to a customer.")
    refused = cards.behavior(method).attach
    if refused:
        raise declined(refused)
    saved = store.edit(method["id"])
    saved["customer"] = customer_id
    emit("payment_method.attached", saved)
    return saved


def default_for(customer_id: str, *owners: dict[str, Any] | None) -> dict[str, Any] | None:
    """Returns the card to charge: the first owner's own (invoice, subscription), else the customer's default."""
    for owner in owners:
        if owner and owner.get("default_payment_method"):
            return store.get(owner["default_payment_method"])
    customer = customers.get(customer_id)
    return store.get(customer["invoice_settings"]["default_payment_method"])


@route("POST", "/v1/payment_methods", PaymentMethodCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    if params.get("type", "card") != "card":
        raise invalid("The sandbox supports cards only.", param="type")
    data = params.get("card")
    if not data:
        raise invalid("Missing required param: card.", param="card", code="parameter_missing")
    token = data.get("token")
    if token:
        if not token.startswith("tok_") or token[4:] not in cards.NAMES:
            raise missing("token", token, param="card[token]", status=400)
        card = cards.Card(cards.NAMES[token[4:]], 12, 2040, "123")
    else:
        card = _typed(data)
    return new(
        card,
        params.get("billing_details"),
        metadata=params.get("metadata") or {},
        allow_redisplay=params.get("allow_redisplay", "unspecified"),
    )


def _typed(data: dict[str, Any]) -> cards.Card:
    try:
        number = cards.check_number(data.get("number", ""))
        cards.check_expiry(data.get("exp_month", 0), data.get("exp_year", 0))
    except cards.InvalidCard as error:
        param = {"cardNumber": "number", "cardExpiry": "exp_month"}[error.field]
        raise StripeError(
            error.message, status=402, kind="card_error", code=error.code, param=param
        ) from error
    return cards.Card(number, data["exp_month"], data["exp_year"], data.get("cvc", ""))


@route("GET", "/v1/payment_methods", PaymentMethodListParams)
def list_methods(call: Call) -> Page:
    return Page(_saved(call, call.params.get("customer")), "/v1/payment_methods")


@route("GET", "/v1/customers/{customer_id}/payment_methods", CustomerListPaymentMethodsParams)
def list_of_customer(call: Call, customer_id: str) -> Page:
    customers.get(customer_id, param="id", status=404)
    return Page(_saved(call, customer_id), f"/v1/customers/{customer_id}/payment_methods")


def _saved(call: Call, customer_id: str | None) -> list[dict[str, Any]]:
    kind = call.params.get("type", "card")
    return [
        method
        for method in store.each("payment_method")
        if customer_id and method["customer"] == customer_id and method["type"] == kind
    ]


@route("GET", "/v1/payment_methods/{method_id}", PaymentMethodRetrieveParams)
def retrieve(call: Call, method_id: str) -> dict[str, Any]:
    return get(method_id, status=404)


@route("POST", "/v1/payment_methods/{method_id}", PaymentMethodUpdateParams)
def update(call: Call, method_id: str) -> dict[str, Any]:
    method_id = get(method_id, status=404)["id"]
    params = call.params
    with updating(method_id, "payment_method.updated") as method:
        apply_metadata(method, params)
        if "billing_details" in params:
            method["billing_details"] |= _billing({**method["billing_details"], **params["billing_details"]})
        for name in ("exp_month", "exp_year"):
            if name in params.get("card", {}):
                method["card"][name] = params["card"][name]
    return method


@route("POST", "/v1/payment_methods/{method_id}/attach", PaymentMethodAttachParams)
def attach_to(call: Call, method_id: str) -> dict[str, Any]:
    customer = customers.get(call.params.get("customer"))
    return attach(method_id, customer["id"])


@route("POST", "/v1/payment_methods/{method_id}/detach", PaymentMethodDetachParams)
def detach(call: Call, method_id: str) -> dict[str, Any]:
    method = get(method_id, status=404)
    if not method["customer"]:
        raise invalid(
            "The payment method you provided is not attached to a customer so detachment is impossible."
        )
    owner = customers.get(method["customer"])
    if owner["invoice_settings"]["default_payment_method"] == method["id"]:
        with updating(owner["id"], "customer.updated") as customer:
            customer["invoice_settings"]["default_payment_method"] = None
    with updating(method["id"], "payment_method.detached") as detached:
        detached["customer"] = None
    return detached
