"""Orders by the API: paid on the hosted page or with the saved card, once each; a bad one names its field."""

from typing import Any

import pytest

from billing.models import Order, Subscription
from tests.billing.conftest import Caller, Customer


def test_an_order_is_paid_by_checkout(call: Caller, customer: Customer) -> None:
    body = {
        "items": [{"product": "nextpanel-professional", "options": {"interval": "month"}}],
        "max_total": 1900, "currency": "usd", "payment": "checkout",
    }  # fmt: skip
    placed = call("post", "orders", body, **{"Idempotency-Key": "order-1"})
    assert placed.status_code == 201, placed.data
    assert (placed.data["status"], placed.data["total"], placed.data["currency"]) == ("pending", 1900, "usd")
    again = call("post", "orders", body, **{"Idempotency-Key": "order-1"})
    assert (again.data["id"], again.data["checkout_url"]) == (placed.data["id"], placed.data["checkout_url"])
    customer.pay(placed.data["checkout_url"])
    customer.settle()
    detail = call("get", f"orders/{placed.data['id']}").data
    assert (detail["status"], detail["items"][0]["status"], detail["checkout_url"]) == ("paid", "paid", None)
    rows = call("get", "subscriptions").data["data"]
    assert [(row["product"], row["plan"], row["status"]) for row in rows] == [
        ("nextpanel-professional", None, "active")
    ]
    ended = call("delete", f"subscriptions/{rows[0]['id']}")
    assert (ended.status_code, ended.data["cancel_at_period_end"]) == (200, True)


def test_an_order_is_paid_with_the_saved_card(call: Caller, customer: Customer) -> None:
    body = {
        "items": [{"product": "nextpanel-starter"}, {"product": "nextpanel-business", "options": {"interval": "year"}}],
        "max_total": 49_900, "payment": "saved_card",
    }  # fmt: skip
    assert call("post", "orders", body).data["code"] == "payment_method_missing"
    customer.buy("pro", "month")
    placed = call("post", "orders", body)
    assert (placed.status_code, placed.data["status"], placed.data["total"]) == (201, "pending", 49_900)
    customer.settle()
    assert call("get", f"orders/{placed.data['id']}").data["status"] == "paid"
    assert Subscription.objects.filter(organization=customer.organization, plan__isnull=True).count() == 2


def test_a_total_above_what_was_agreed_is_refused(call: Caller) -> None:
    answer = call("post", "orders", {"items": [{"product": "nextpanel-starter"}], "max_total": 899})
    assert (answer.status_code, answer.data["code"], answer.data["total"]) == (409, "price_changed", 900)
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"items": []}, "/items"),
        ({"items": [{"product": "nothing"}]}, "/items/0/product"),
        ({"items": [{"product": "pro"}]}, "/items/0/product"),
        (
            {"items": [{"product": "nextpanel-starter", "options": {"interval": "week"}}]},
            "/items/0/options/interval",
        ),
        ({"items": [{"product": "nextpanel-starter", "options": {"color": "red"}}]}, "/items/0/options"),
        ({"items": [{"product": "nextpanel-starter"}, {"product": "nextpanel-starter"}]}, "/items"),
        ({"currency": "eur"}, "/currency"),
        ({"max_total": -1}, "/max_total"),
        ({"payment": "cash"}, "/payment"),
    ],
)
def test_a_bad_order_names_its_field(call: Caller, change: dict[str, Any], pointer: str) -> None:
    body = {"items": [{"product": "nextpanel-starter"}], "max_total": 99_999} | change
    answer = call("post", "orders", body)
    assert answer.status_code == 400, answer.data
    assert answer.data["errors"][0]["pointer"] == pointer
