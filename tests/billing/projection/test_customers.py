"""The projection of a Stripe customer."""

import pytest

from billing.models import BillingAccount
from billing.projection import customers
from billing.stripe import client
from superagent.foundation import tenancy
from tests.accounts.conftest import page_of
from tests.billing.conftest import Customer

pytestmark = pytest.mark.django_db


def test_credit_is_shown_in_the_currency_of_the_balance(customer: Customer) -> None:
    """The page said dollars whatever Stripe said."""
    customer_id = customer.account.stripe_customer_id
    client.call(
        "customers.balance_transactions.create", customer_id, params={"amount": -1250, "currency": "eur"}
    )
    with tenancy.system("test"):
        customers.refresh(customer_id)
        account = BillingAccount.objects.get(stripe_customer_id=customer_id)
    assert (account.balance, account.currency) == (-1250, "eur")
    body = page_of(customer.user).get("/billing/").content.decode()
    assert "Credit of €12.50" in body and "$12.50" not in body


def test_a_customer_without_any_amount_keeps_the_currency_of_the_catalog(customer: Customer) -> None:
    with tenancy.system("test"):
        customers.refresh(customer.account.stripe_customer_id)
    assert customer.account.currency == "usd"
