"""However often "buy" is pressed, an organization pays for one plan."""

import pytest

from billing.catalog import plans
from billing.models import Subscription
from billing.selling import cancellations, checkout
from billing.stripe import client
from tests.billing.conftest import Customer


def at_stripe(customer: Customer) -> list[str]:
    """The status of each of the customer's subscriptions at Stripe."""
    params = {"customer": customer.account.stripe_customer_id, "status": "all"}
    return sorted(each["status"] for each in client.listed("subscriptions.list", params=params))


def two_pages(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two clicks at the same moment in two windows: neither sees the other's page."""
    with monkeypatch.context() as patch:
        patch.setattr(checkout, "close", lambda session: "expired")
        return customer.visit("pro").url, customer.visit("enterprise").url


def test_a_page_in_another_window_is_closed_once_a_plan_is_paid(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pro, enterprise = two_pages(customer, monkeypatch)
    assert customer.pay(pro).status_code == 303
    customer.settle()
    assert customer.pay(enterprise).status_code != 303
    assert at_stripe(customer) == ["active"]


def test_of_two_pages_paid_at_once_one_plan_stays_and_the_other_is_credited(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in two_pages(customer, monkeypatch):
        assert customer.pay(url).status_code == 303
    customer.settle()
    assert at_stripe(customer) == ["active", "canceled"]
    assert customer.subscription.plan.slug == plans.current_plan(customer.organization).slug == "enterprise"
    assert customer.account.credit == 2_900  # all of the pro plan's month
    customer.settle()
    assert at_stripe(customer) == ["active", "canceled"]


def test_a_suspended_plan_ends_when_another_one_is_paid(customer: Customer) -> None:
    """Stripe would go on to collect for the old one."""
    old = customer.buy("pro")
    Subscription.objects.filter(pk=old.pk).update(status="paused")
    assert customer.pay(customer.visit("enterprise").url).status_code == 303
    customer.settle()
    assert at_stripe(customer) == ["active", "canceled"]
    assert customer.account.credit == 0


def test_a_plan_that_was_bought_and_canceled_can_be_bought_again(customer: Customer) -> None:
    cancellations.cancel(subscription=customer.buy("pro"), at_period_end=False, now=customer.now)
    customer.settle()
    assert plans.current_plan(customer.organization).slug == "free"
    customer.buy("pro")
    assert at_stripe(customer) == ["active", "canceled"]
