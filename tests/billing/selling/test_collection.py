"""Collection of a subscription is paused and resumed, however often it is asked for."""

from billing.selling import collection
from tests.billing.changing import at_stripe
from tests.billing.conftest import Customer


def test_a_paused_collection_voids_invoices_until_it_is_resumed(customer: Customer) -> None:
    bought = customer.buy("pro", "month")
    for _ in range(2):
        collection.pause(subscription=bought)
    bought.refresh_from_db()
    assert bought.is_collection_paused and at_stripe(customer)["pause_collection"]["behavior"] == "void"
    for _ in range(2):
        collection.resume(subscription=bought)
    bought.refresh_from_db()
    assert not bought.is_collection_paused and at_stripe(customer)["pause_collection"] is None
