"""Setup intents: saving a card without charging it."""

from typing import Any

from stripe.params import (
    SetupIntentConfirmParams,
    SetupIntentCreateParams,
    SetupIntentListParams,
    SetupIntentRetrieveParams,
)

from superagent.sandbox.store import store
from superagent.sandbox.stripe import customers, ids, moment, payment_methods, shapes
from superagent.sandbox.stripe.errors import invalid, missing
from superagent.sandbox.stripe.events import emit
from superagent.sandbox.stripe.paging import matches, matches_created
from superagent.sandbox.stripe.routes import Call, Page, route


def get(intent_id: str) -> dict[str, Any]:
    """Returns a setup intent that exists."""
    intent = store.find("setup_intent", intent_id)
    if intent is None:
        raise missing("setupintent", intent_id, param="intent")
    return intent


def new(*, customer_id: str | None, **values: Any) -> dict[str, Any]:
    """Add a setup intent and emit `setup_intent.created`."""
    intent_id = ids.new("seti")
    intent = store.add(
        shapes.build(
            "setup_intent",
            **(
                {
                    "id": intent_id,
                    "client_secret": ids.client_secret(intent_id),
                    "created": moment.now(customer_id),
                    "customer": customer_id,
                    "payment_method_types": ["card"],
                    "status": "requires_payment_method",
                    "payment_method_options": {
                        "card": {
                            "mandate_options": None,
                            "network": None,
                            "request_three_d_secure": "automatic",
                        }
                    },
                    "usage": "off_session",
                }
                | values
            ),
        )
    )
    emit("setup_intent.created", intent)
    return intent


def succeed(intent_id: str, method: dict[str, Any]) -> dict[str, Any]:
    """Save the card for later use; emit `setup_intent.succeeded`."""
    intent = store.edit(intent_id)
    if intent["customer"]:
        payment_methods.attach(method["id"], intent["customer"])
    store.edit(method["id"])["_set_up"] = True
    intent.update(status="succeeded", payment_method=method["id"])
    emit("setup_intent.succeeded", intent)
    return intent


@route("POST", "/v1/setup_intents", SetupIntentCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    customer_id = customers.get(params["customer"])["id"] if "customer" in params else None
    intent = new(
        customer_id=customer_id,
        description=params.get("description") or None,
        metadata=params.get("metadata") or {},
        usage=params.get("usage", "off_session"),
    )
    if "payment_method" in params:
        intent["payment_method"] = payment_methods.get(params["payment_method"])["id"]
        intent["status"] = "requires_confirmation"
    return _confirm(intent, params) if params.get("confirm") else intent


def _confirm(intent: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    method_id = params.get("payment_method") or intent["payment_method"]
    if method_id is None or intent["status"] == "succeeded":
        raise invalid("You cannot confirm this SetupIntent.", code="setup_intent_unexpected_state")
    return succeed(intent["id"], payment_methods.get(method_id))


@route("GET", "/v1/setup_intents", SetupIntentListParams)
def list_intents(call: Call) -> Page:
    found = [
        item
        for item in store.each("setup_intent")
        if matches(item, call.params, "customer", "payment_method") and matches_created(item, call.params)
    ]
    return Page(found, "/v1/setup_intents")


@route("GET", "/v1/setup_intents/{intent_id}", SetupIntentRetrieveParams)
def retrieve(call: Call, intent_id: str) -> dict[str, Any]:
    return get(intent_id)


@route("POST", "/v1/setup_intents/{intent_id}/confirm", SetupIntentConfirmParams)
def confirm(call: Call, intent_id: str) -> dict[str, Any]:
    get(intent_id)
    return _confirm(store.edit(intent_id), call.params)
