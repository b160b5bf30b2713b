"""Customers and their balance."""

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
from superagent.sandbox.stripe import ids, moment, shapes
from superagent.sandbox.stripe.errors import invalid, missing, refuse
from superagent.sandbox.stripe.events import emit, updating
from superagent.sandbox.stripe.paging import apply, apply_metadata, matches, matches_created
from superagent.sandbox.stripe.render import included, plain
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


def get(customer_id: str | None, *, param: str = "customer", status: int = 400) -> dict[str, Any]:
    """Return a customer that exists."""
    customer = store.find("customer", customer_id)
    if customer is None or customer.get("deleted"):
        raise missing("customer", str(customer_id), param=param, status=status)
    return customer


def new(**values: Any) -> dict[str, Any]:
    """Add a customer and emit `customer.created`."""
    test_clock = values.get("test_clock")
    customer = store.add(
        shapes.build(
            "customer",
            **(
                {
                    "id": ids.new("cus"),
                    "balance": 0,
                    "created": moment.of_clock(test_clock),
                    "delinquent": False,
                    "invoice_prefix": ids.invoice_prefix(),
                    "invoice_settings": invoice_settings({}),
                    "next_invoice_sequence": 1,
                    "preferred_locales": [],
                    "tax_exempt": "none",
                }
                | values
            ),
        )
    )
    emit("customer.created", customer)
    return customer


def invoice_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Return complete invoice settings."""
    names = ("custom_fields", "default_payment_method", "footer", "rendering_options")
    return {name: given.get(name) or None for name in names}


def change_balance(customer_id: str, amount: int, **details: Any) -> None:
    """Add `amount` to the balance (negative is credit) and keep the transaction."""
    with updating(customer_id, "customer.updated") as customer:
        customer["balance"] += amount
        customer["currency"] = customer["currency"] or details["currency"]
    store.add(
        shapes.build(
            "customer_balance_transaction",
            **(
                {
                    "id": ids.new("cbtxn"),
                    "amount": amount,
                    "created": moment.now(customer_id),
                    "customer": customer_id,
                    "ending_balance": store.edit(customer_id)["balance"],
                }
                | details
            ),
        )
    )


@route("POST", "/v1/customers", CustomerCreateParams)
def create(call: Call) -> dict[str, Any]:
    params = call.params
    refuse(params, *NOT_BUILT)
    if "test_clock" in params and store.find("test_helpers.test_clock", params["test_clock"]) is None:
        raise missing("test clock", params["test_clock"], param="test_clock", status=400)
    customer = new(
        **{name: params[name] or None for name in PLAIN if name in params},
        **{
            name: params[name]
            for name in ("balance", "test_clock", "next_invoice_sequence")
            if name in params
        },
        metadata=params.get("metadata") or {},
        invoice_settings=invoice_settings(params.get("invoice_settings", {})),
        tax_exempt=params.get("tax_exempt") or "none",
    )
    if "payment_method" in params:
        from superagent.sandbox.stripe import payment_methods  # it needs customers itself

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
    return get(customer_id, param="id", status=404)


@route("POST", "/v1/customers/{customer_id}", CustomerUpdateParams)
def update(call: Call, customer_id: str) -> dict[str, Any]:
    params = call.params
    refuse(params, *NOT_BUILT)
    get(customer_id, param="id", status=404)
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
    get(customer_id, param="id", status=404)
    remove(customer_id)
    return {"id": customer_id, "object": "customer", "deleted": True}


def remove(customer_id: str) -> None:
    """Delete a customer: its subscriptions end at once, its cards are detached, its history stays."""
    from superagent.sandbox.stripe import subscriptions  # it needs customers itself

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
    get(customer_id, param="id", status=404)
    params = call.params
    change_balance(
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
    get(customer_id, param="id", status=404)
    found = [item for item in store.each("customer_balance_transaction") if item["customer"] == customer_id]
    return Page(found, f"/v1/customers/{customer_id}/balance_transactions")


@included("customer", "subscriptions")
def _subscriptions(customer: dict[str, Any]) -> dict[str, Any]:
    found = [
        plain(item)
        for item in store.each("subscription")
        if item["customer"] == customer["id"] and item["ended_at"] is None
    ]
    return shapes.listing(found[::-1], f"/v1/customers/{customer['id']}/subscriptions")


@included("customer", "sources")
def _sources(customer: dict[str, Any]) -> dict[str, Any]:
    return shapes.listing([], f"/v1/customers/{customer['id']}/sources")


@included("customer", "tax_ids")
def _tax_ids(customer: dict[str, Any]) -> dict[str, Any]:
    return shapes.listing([], f"/v1/customers/{customer['id']}/tax_ids")
