"""Orders by the API: paid on the hosted page or with the saved card, once each; a bad one names its field."""

from typing import Any

import pytest
from django.utils import timezone

from billing.models import BillingAccount, Order, Subscription
from billing.stripe import client
from superagent.foundation import outbox
from superagent.foundation.models import OutboxMessage
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


def saved_card_order(call: Caller, customer: Customer) -> tuple[str, OutboxMessage]:
    """An order that a worker is about to pay."""
    customer.buy("pro", "month")
    body = {"items": [{"product": "nextpanel-starter"}], "max_total": 900, "payment": "saved_card"}
    placed = call("post", "orders", body)
    return placed.data["id"], OutboxMessage.objects.get(topic="billing.buy_item")


def test_another_card_between_two_tries_buys_no_second_license(
    call: Caller, customer: Customer, settings: Any
) -> None:
    """Stripe did the work, its answer was lost, and the customer chose another card before the repetition."""
    order, message = saved_card_order(call, customer)
    settings.STRIPE_TIMEOUT_SECONDS = 1
    client._client.cache_clear()
    customer.sandbox.fault("timeout_after", path="/v1/subscriptions", method="POST", times=10, seconds=3)
    outbox.deliver(message.pk)
    customer.sandbox.mend()
    BillingAccount.objects.filter(organization=customer.organization).update(payment_method_id="pm_another")
    OutboxMessage.objects.filter(pk=message.pk).update(due_at=timezone.now())
    outbox.deliver(message.pk)
    customer.settle()
    assert call("get", f"orders/{order}").data["status"] == "paid"
    assert Subscription.objects.filter(organization=customer.organization, plan__isnull=True).count() == 1


def test_a_card_that_is_gone_fails_the_order_instead_of_leaving_it_pending(
    call: Caller, customer: Customer
) -> None:
    order, message = saved_card_order(call, customer)
    client.call("payment_methods.detach", message.payload["payment_method"])
    outbox.deliver(message.pk)
    assert call("get", f"orders/{order}").data["status"] == "failed"
    assert not Subscription.objects.filter(organization=customer.organization, plan__isnull=True).exists()


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
