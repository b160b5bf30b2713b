"""The result of a payment reaches its order once, and a paid order stays paid."""

from typing import Any

import pytest
from django.db import transaction

from billing.models import Order, OrderItem
from billing.projection import order_payments
from billing.selling import orders
from billing.signals import order_item_paid
from tests.billing.conftest import Customer


@pytest.fixture
def item(customer: Customer) -> OrderItem:
    order = orders.place(
        organization=customer.organization, user=customer.user, items=[orders.Wanted("nextpanel-starter")],
        max_total=900, currency="usd", payment="checkout", now=customer.now,
    )  # fmt: skip
    return order.items.get()


def statuses(item: OrderItem) -> tuple[str, str]:
    item.refresh_from_db()
    return item.status, Order.objects.get(pk=item.order_id).status


def test_an_item_is_paid_once_and_its_order_with_it(customer: Customer, item: OrderItem) -> None:
    told: list[Any] = []

    def hear(sender: object, item: OrderItem, **_: Any) -> None:
        told.append(item.pk)

    order_item_paid.connect(hear)
    try:
        with transaction.atomic():
            assert order_payments.mark_paid(item=item, now=customer.now)
            assert not order_payments.mark_paid(item=item, now=customer.now)
    finally:
        order_item_paid.disconnect(hear)
    assert told == [item.pk] and statuses(item) == ("paid", "paid")
    order_payments.fail(item=item, reason="too late")
    order_payments.expire(item.order)
    assert statuses(item) == ("paid", "paid")


def test_a_refused_payment_fails_the_order_with_its_reason(item: OrderItem) -> None:
    order_payments.fail(item=item, reason="Your card was declined.")
    assert statuses(item) == ("failed", "failed")
    assert Order.objects.get(pk=item.order_id).failure == "Your card was declined."


def test_an_unpaid_order_expires(item: OrderItem) -> None:
    order_payments.expire(item.order)
    assert statuses(item) == ("pending", "expired")
