"""Subscriptions as rows: only ours, only the newest fetch, only prices of our catalog."""

from typing import Any

import pytest

from billing.models import Subscription
from billing.projection import subscriptions
from billing.selling import orders
from billing.stripe import client, fencing
from tests.billing.conftest import Customer


def fetch(subscription: Subscription) -> dict[str, Any]:
    return client.call(
        "subscriptions.retrieve", subscription.stripe_id, params={"expand": subscriptions.EXPAND}
    )


def test_an_older_fetch_is_not_applied_after_a_newer_one(customer: Customer) -> None:
    bought = customer.buy("pro", "month")
    older, newer = fencing.next_token(), fencing.next_token()
    fetched = fetch(bought)
    assert subscriptions.apply(fetched | {"cancel_at_period_end": True}, newer) is not None
    assert subscriptions.apply(fetched, older) is None
    bought.refresh_from_db()
    assert bought.cancel_at_period_end


def test_a_customer_who_is_not_ours_is_ignored(customer: Customer) -> None:
    fetched = fetch(customer.buy("pro", "month"))
    stranger = fetched | {"id": "sub_stranger", "customer": "cus_stranger"}
    assert subscriptions.apply(stranger, fencing.next_token()) is None
    assert subscriptions.refresh("sub_unknown") is None
    assert Subscription.objects.count() == 1


def test_a_price_that_is_not_in_the_catalog_is_a_permanent_failure(customer: Customer) -> None:
    bought = customer.buy("pro", "month")
    fetched = fetch(bought)
    fetched["items"]["data"][0]["price"] = "price_of_the_dashboard"
    with pytest.raises(subscriptions.UnknownPrice, match="price_of_the_dashboard"):
        subscriptions.apply(fetched, fencing.next_token())


def test_an_order_item_of_another_organization_is_not_taken_over(
    customer: Customer, other_customer: Customer
) -> None:
    order = orders.place(
        organization=other_customer.organization, user=other_customer.user, max_total=900, currency="usd",
        items=[orders.Wanted("nextpanel-starter")], payment="checkout", now=other_customer.now,
    )  # fmt: skip
    item = order.items.get()
    bought = customer.buy("pro", "month")
    fetched = fetch(bought) | {"metadata": {"order_item": str(item.pk)}}
    applied = subscriptions.apply(fetched, fencing.next_token())
    assert applied is not None and applied.order_item is None
    item.refresh_from_db()
    assert item.status == "pending"
