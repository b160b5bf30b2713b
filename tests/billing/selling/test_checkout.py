"""Payment pages: one at a time for a plan; that of an order can be paid later, or the order is canceled."""

import re
from typing import Any

import pytest

from accounts.models import AuditEntry
from billing.catalog import plans
from billing.models import CheckoutSession, Order
from billing.selling import checkout, orders
from billing.stripe import client
from billing.stripe import client as stripe_client
from superagent.foundation import tenancy
from tests.accounts.conftest import join, page_of
from tests.billing.conftest import Customer


@pytest.fixture
def order(customer: Customer) -> Order:
    return orders.place(
        organization=customer.organization,
        user=customer.user,
        items=[orders.Wanted("nextpanel-starter", {"interval": "month"})],
        max_total=10_000,
        currency="usd",
        payment="checkout",
        now=customer.now,
    )


def browse(user: Any, address: str, *, post: bool = False) -> Any:
    """A request ends in no scope; the test goes on in its own."""
    with tenancy.isolated():
        client = page_of(user)
        return client.post(address, follow=True) if post else client.get(address)


def test_who_leaves_the_payment_page_lands_on_the_order(customer: Customer, order: Order) -> None:
    started = checkout.start_order(order=order, now=customer.now)
    session = stripe_client.call("checkout.sessions.retrieve", started.session_id)
    assert session["cancel_url"].endswith(f"/orders/{order.pk}/")
    html = browse(customer.user, f"/orders/{order.pk}/").content.decode()
    assert "This order is not paid" in html and "Pay $9.00" in html and "Cancel order" in html


def test_an_unpaid_order_is_given_up_and_its_payment_page_closed(customer: Customer, order: Order) -> None:
    started = checkout.start_order(order=order, now=customer.now)
    for _ in range(2):
        html = browse(customer.user, f"/orders/{order.pk}/cancel/", post=True).content.decode()
        assert "The order was canceled. Nothing was charged." in html
    order.refresh_from_db()
    assert order.status == "canceled"
    assert stripe_client.call("checkout.sessions.retrieve", started.session_id)["status"] == "expired"
    assert AuditEntry.objects.filter(action="order.canceled").count() == 1


def test_an_order_that_was_paid_meanwhile_is_not_given_up(customer: Customer, order: Order) -> None:
    started = checkout.start_order(order=order, now=customer.now)
    assert customer.pay(started.url).status_code == 303
    html = browse(customer.user, f"/orders/{order.pk}/cancel/", post=True).content.decode()
    assert "It was paid a moment ago." in html
    customer.settle()
    order.refresh_from_db()
    assert order.status == "paid"


def test_nobody_else_gives_an_order_up(customer: Customer, other_customer: Customer, order: Order) -> None:
    assert browse(other_customer.user, f"/orders/{order.pk}/cancel/", post=True).status_code == 404
    viewer = join(customer.organization, "vic@example.com", "viewer")
    assert browse(viewer, f"/orders/{order.pk}/cancel/", post=True).status_code == 403
    order.refresh_from_db()
    assert order.status == "pending"


def test_an_expired_order_says_so_and_where_to_order_again(customer: Customer, order: Order) -> None:
    """Its items were "Pending" still, and the payment page sent who wanted a license to the API plans."""
    started = checkout.start_order(order=order, now=customer.now)
    stripe_client.call("checkout.sessions.expire", started.session_id)
    customer.settle()
    html = browse(customer.user, f"/orders/{order.pk}/").content.decode()
    assert "This order has expired" in html and "Order again" in html
    assert "Pending" not in html
    back = browse(customer.user, f"/checkout/confirm/?session_id={started.session_id}").content.decode()
    assert "The payment page has expired" in back
    assert re.search(r'href="/licenses/"[^>]*>(\s|<[^>]+>)*Choose again', back)


def at_stripe(customer: Customer) -> list[str]:
    """The status of each of the customer's subscriptions at Stripe."""
    params = {"customer": customer.account.stripe_customer_id, "status": "all"}
    return sorted(each["status"] for each in client.listed("subscriptions.list", params=params))


def test_two_clicks_open_one_page(customer: Customer) -> None:
    assert customer.visit("pro").session_id == customer.visit("pro").session_id


def test_another_choice_closes_the_page_of_the_first_one(customer: Customer) -> None:
    first = customer.visit("pro")
    customer.visit("enterprise")
    assert customer.pay(first.url).status_code != 303
    assert CheckoutSession.objects.get(stripe_id=first.session_id).status == "expired"


def test_a_page_that_was_paid_a_moment_ago_is_not_followed_by_another(customer: Customer) -> None:
    """The webhook is late, and the buyer chooses once more."""
    assert customer.pay(customer.visit("pro").url).status_code == 303
    with pytest.raises(checkout.AlreadySubscribed):
        customer.visit("enterprise")
    assert plans.current_plan(customer.organization).slug == "pro"
    assert at_stripe(customer) == ["active"]
