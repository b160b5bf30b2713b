"""The API's calls about customers and their balance."""

from typing import Any

from stripe.params import (
    CustomerBalanceTransactionCreateParams,
    CustomerBalanceTransactionListParams,
    CustomerCreateParams,
    CustomerDeleteParams,
    CustomerListParams,
    CustomerRetrieveParams,
    CustomerUpdateParams,
)

from superagent.sandbox.store import store
from superagent.sandbox.stripe import customers, payment_methods, subscriptions
from superagent.sandbox.stripe.errors import invalid, missing, refuse
from superagent.sandbox.stripe.events import emit, updating
from superagent.sandbox.stripe.paging import apply, apply_metadata, matches, matches_created
from superagent.sandbox.stripe.routes import Call, Page, route

PLAIN = (
    "address",
    "description",
    "email",
    "name",
    "phone",
    "preferred_locales",
    "shipping",
    "invoice_prefix",
)
NOT_BUILT = ("source", "cash_balance", "tax_id_data")


@route("POST", "/v1/customers", CustomerCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    refuse(params, *NOT_BUILT)
    if "test_clock" in params and store.find("test_helpers.test_clock", params["test_clock"]) is None:
        raise missing("test clock", params["test_clock"], param="test_clock", status=400)
    customer = customers.new(
        **{name: params[name] or None for name in PLAIN if name in params},
        **{
            name: params[name]
            for name in ("balance", "test_clock", "next_invoice_sequence")
            if name in params
        },
        metadata=params.get("metadata") or {},
        invoice_settings=customers.invoice_settings(params.get("invoice_settings", {})),
        tax_exempt=params.get("tax_exempt") or "none",
    )
    if "payment_method" in params:
        method = payment_methods.attach(params["payment_method"], customer["id"])
        if customer["invoice_settings"]["default_payment_method"]:
            customer["invoice_settings"]["default_payment_method"] = method["id"]
    return customer


@route("GET", "/v1/customers", CustomerListParams)
def list_customers(call: Call) -> Page:
    clock = call.params.get("test_clock")
    found = [
        customer
        for customer in store.each("customer")
        if not customer.get("deleted")
        and customer["test_clock"] == clock
        and matches(customer, call.params, "email")
        and matches_created(customer, call.params)
    ]
    return Page(found, "/v1/customers")


@route("GET", "/v1/customers/{customer_id}", CustomerRetrieveParams)
def retrieve(call: Call, customer_id: str) -> dict[str, Any]:
    customer = store.find("customer", customer_id)
    if customer and customer.get("deleted"):
        return {"id": customer_id, "object": "customer", "deleted": True}
    return customers.get(customer_id, param="id", status=404)


@route("POST", "/v1/customers/{customer_id}", CustomerUpdateParams)
def update(call: Call, customer_id: str) -> dict[str, Any]:
    params = call.params
    refuse(params, *NOT_BUILT)
    customers.get(customer_id, param="id", status=404)
    chosen = params.get("invoice_settings", {}).get("default_payment_method")
    if chosen:
        method = store.find("payment_method", chosen)
        if method is None or method["customer"] != customer_id:
            message = (
                f"The customer does not have a payment method with the ID {chosen}. "
                "The payment method must be attached to the customer."
            )
            raise invalid(message, param="invoice_settings[default_payment_method]", code="resource_missing")
    with updating(customer_id, "customer.updated") as customer:
        apply(customer, params, *PLAIN, "balance", "next_invoice_sequence", "tax_exempt")
        apply_metadata(customer, params)
        settings = params.get("invoice_settings", {})
        apply(customer["invoice_settings"], settings, *settings.keys())
    return customer


@route("DELETE", "/v1/customers/{customer_id}", CustomerDeleteParams)
def delete(call: Call, customer_id: str) -> dict[str, Any]:
    customers.get(customer_id, param="id", status=404)
    remove(customer_id)
    return {"id": customer_id, "object": "customer", "deleted": True}


def remove(customer_id: str) -> None:
    """Delete a customer: its subscriptions end at once, its cards are detached, its history stays."""
    for subscription in list(store.each("subscription")):
        if subscription["customer"] == customer_id and subscription["ended_at"] is None:
            subscriptions.end(subscription["id"], reason="cancellation_requested")
    customer = store.edit(customer_id)
    emit("customer.deleted", customer)
    customer["deleted"] = True
    for method in list(store.each("payment_method")):
        if method["customer"] == customer_id:
            store.edit(method["id"])["customer"] = None


@route("POST", "/v1/customers/{customer_id}/balance_transactions", CustomerBalanceTransactionCreateParams)
def create_balance_transaction(call: Call, customer_id: str) -> dict[str, Any]:
    customers.get(customer_id, param="id", status=404)
    params = call.params
    customers.change_balance(
        customer_id,
        params["amount"],
        currency=params["currency"],
        type="adjustment",
        description=params.get("description") or None,
        metadata=params.get("metadata") or {},
    )
    return list(store.each("customer_balance_transaction"))[-1]


@route("GET", "/v1/customers/{customer_id}/balance_transactions", CustomerBalanceTransactionListParams)
def list_balance_transactions(call: Call, customer_id: str) -> Page:
    customers.get(customer_id, param="id", status=404)
    found = [item for item in store.each("customer_balance_transaction") if item["customer"] == customer_id]
    return Page(found, f"/v1/customers/{customer_id}/balance_transactions")
