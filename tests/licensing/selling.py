"""Licenses as customers buy them through the sandbox, and what staff and Stripe then do to them."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from accounts.models import User
from billing.models import Invoice, Payment, Subscription
from billing.selling import checkout, orders
from licensing.models import License
from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import page_of
from tests.billing.conftest import Customer
from tests.fixtures import loopback

DAY = timedelta(days=1)
TIER = "nextpanel-professional"


def buy(customer: Customer, product: str = TIER, card: str | None = None) -> License:
    order = orders.place(
        organization=customer.organization,
        user=customer.user,
        items=[orders.Wanted(product, {"interval": "month"})],
        max_total=10_000,
        currency="usd",
        payment="checkout",
        now=customer.now,
    )
    url = checkout.start_order(order=order, now=customer.now).url
    assert (customer.pay(url, card) if card else customer.pay(url)).status_code == 303
    work_off(customer)
    return License.objects.select_related("order_item__subscription").get(order_item__order=order)


def work_off(customer: Customer) -> None:
    """What Stripe reported, and what we owe Stripe."""
    for _ in range(4):
        customer.settle()
        due = OutboxMessage.objects.filter(
            topic__startswith="licensing.", state="pending", due_at__lte=timezone.now()
        )
        for message in due:
            outbox.deliver(message.pk)


def refund(payment: Payment, amount: int | None = None) -> None:
    """As staff do in Stripe's dashboard."""
    data = {"payment_intent": payment.stripe_id} | ({"amount": amount} if amount else {})
    answer = loopback.post(
        f"{settings.STRIPE_API_HOST}/v1/refunds", data=data, auth=(settings.STRIPE_SECRET_KEY, "")
    )
    answer.raise_for_status()


def reread(license_: License) -> tuple[License, Subscription]:
    fresh = License.objects.select_related("order_item__subscription", "organization").get(pk=license_.pk)
    return fresh, fresh.order_item.subscription


def paid(customer: Customer) -> int:
    invoices = Invoice.objects.filter(organization=customer.organization, status="paid")
    return sum(invoice.amount_paid for invoice in invoices)


class Page:
    """A browser. A request ends in no scope; the test goes on in its own."""

    def __init__(self, user: User) -> None:
        with tenancy.isolated():
            self.client = page_of(user)

    def get(self, address: str) -> Any:
        with tenancy.isolated():
            return self.client.get(address)

    def post(self, address: str, data: dict[str, Any] | None = None) -> Any:
        with tenancy.isolated():
            return self.client.post(address, data)


@pytest.fixture
def staff(customer: Customer) -> User:
    return User.objects.create_user("sam@superagent.example", full_name="Sam Staff", is_staff=True)


@pytest.fixture
def on_test_clock(customer: Customer) -> Customer:
    customer.start_test_clock()
    return customer
