"""Customers and their balance."""

from typing import Any

from superagent.sandbox.store import store
from superagent.sandbox.stripe import ids, moment, shapes
from superagent.sandbox.stripe.errors import missing
from superagent.sandbox.stripe.events import emit, updating
from superagent.sandbox.stripe.render import included, plain


def get(customer_id: str | None, *, param: str = "customer", status: int = 400) -> dict[str, Any]:
    """Returns a customer that exists."""
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
    """Returns complete invoice settings."""
    names = ("custom_fields", "default_payment_method", "footer", "rendering_options")
    return {name: given.get(name) or None for name in names}


def change_balance(customer_id: str, amount: int, **details: Any) -> None:
    """Add `amount` to the balance (negative is credit) and store the transaction."""
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
