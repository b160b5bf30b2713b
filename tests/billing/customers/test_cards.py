"""Which card a subscription is charged to."""

import pytest

from billing.customers import cards
from billing.models import BillingAccount, Price, Subscription
from billing.stripe import client
from tests.billing.conftest import Customer


def test_the_subscriptions_own_card_comes_before_the_customers(customer: Customer) -> None:
    bought = customer.buy("pro", "month")
    price = Price.objects.get(product__slug="nextpanel-starter", interval="month")
    params = {"customer": customer.account.stripe_customer_id, "items": [{"price": price.stripe_id}]}
    client.call("subscriptions.create", params=params)
    customer.settle()
    without_card = Subscription.objects.get(price=price)
    account = BillingAccount.objects.filter(organization=customer.organization)
    account.update(card_brand="mastercard", card_last_four="4444")
    assert cards.charged_for(bought) == cards.Card("visa", "4242")
    assert cards.charged_for(without_card) == cards.Card("mastercard", "4444")
    account.update(payment_method_id="")
    assert cards.charged_for(without_card) is None


@pytest.mark.usefixtures("impatient")
def test_while_stripe_is_down_no_card_is_named(customer: Customer) -> None:
    bought = customer.buy("pro", "month")
    customer.sandbox.fault("error_500", times=10)
    assert cards.charged_for(bought) is None
    customer.sandbox.mend()
