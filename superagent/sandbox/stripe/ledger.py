"""Small read-only resources that clients fetch beside the main ones."""

from typing import Any

from stripe.params import (
    BalanceTransactionListParams,
    BalanceTransactionRetrieveParams,
    ProductFeatureListParams,
)

from superagent.sandbox.store import store
from superagent.sandbox.stripe import catalog
from superagent.sandbox.stripe.errors import missing
from superagent.sandbox.stripe.paging import matches, matches_created
from superagent.sandbox.stripe.routes import Call, Page, route


@route("GET", "/v1/products/{product_id}/features", ProductFeatureListParams)
def list_features(call: Call, product_id: str) -> Page:
    catalog.product(product_id, param="id", status=404)
    return Page([], f"/v1/products/{product_id}/features")


@route("GET", "/v1/balance_transactions", BalanceTransactionListParams)
def list_transactions(call: Call) -> Page:
    found = [
        item
        for item in store.each("balance_transaction")
        if matches(item, call.params, "currency", "source", "type") and matches_created(item, call.params)
    ]
    return Page(found, "/v1/balance_transactions")


@route("GET", "/v1/balance_transactions/{transaction_id}", BalanceTransactionRetrieveParams)
def retrieve_transaction(call: Call, transaction_id: str) -> dict[str, Any]:
    transaction = store.find("balance_transaction", transaction_id)
    if transaction is None:
        raise missing("balance transaction", transaction_id)
    return transaction
