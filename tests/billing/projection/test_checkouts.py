"""Checkout sessions as rows: complete with their subscription, or expired with their order."""

from billing.models import CheckoutSession
from billing.projection import checkouts
from billing.selling import checkout, orders
from billing.stripe import client
from tests.billing.conftest import Customer


def test_a_paid_session_is_complete_and_brings_its_subscription(customer: Customer) -> None:
    started = customer.visit("pro", "month")
    customer.pay(started.url)
    assert customer.subscription is None
    checkouts.refresh(started.session_id)
    session = CheckoutSession.objects.get(stripe_id=started.session_id)
    assert customer.subscription is not None
    assert (session.status, session.stripe_subscription_id) == ("complete", customer.subscription.stripe_id)


def test_an_expired_session_expires_its_order(customer: Customer) -> None:
    order = orders.place(
        organization=customer.organization, user=customer.user, items=[orders.Wanted("nextpanel-starter")],
        max_total=900, currency="usd", payment="checkout", now=customer.now,
    )  # fmt: skip
    started = checkout.start_order(order=order, now=customer.now)
    client.call("checkout.sessions.expire", started.session_id)
    checkouts.refresh(started.session_id)
    order.refresh_from_db()
    assert order.status == "expired"


def test_a_session_that_does_not_exist_is_ignored(customer: Customer) -> None:
    checkouts.refresh("cs_unknown")
    assert not CheckoutSession.objects.exists()
