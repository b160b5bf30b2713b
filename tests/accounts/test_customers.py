"""Stripe's id of an organization in the API; the app that knows Stripe provides it."""

import pytest

from accounts import customers
from tests.accounts.conftest import api_of


@pytest.fixture(autouse=True)
def _no_stripe(monkeypatch):
    monkeypatch.setattr(customers.id_of, "function", customers.id_of.__wrapped__)


def test_the_api_shows_the_customer_of_the_organization_once_it_is_known(acme, globex, owner):
    assert api_of(owner).get("auth/me").json()["stripe_customer_id"] is None
    ids = {acme.pk: "cus_acme", globex.pk: "cus_globex"}
    customers.id_of.provide(lambda organization: ids[organization.pk])
    assert api_of(owner).get("auth/me").json()["stripe_customer_id"] == "cus_acme"
