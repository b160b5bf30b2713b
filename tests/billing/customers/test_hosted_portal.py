"""Stripe's customer portal: for cards, billing details and invoices, and nothing else."""

from billing.customers import hosted_portal
from billing.stripe import client
from tests.billing.conftest import Customer, Sandbox


def test_a_session_belongs_to_the_customer_and_leads_back(customer: Customer) -> None:
    url = hosted_portal.open_for(customer.organization)
    assert url.startswith(customer.sandbox.url)
    assert url != hosted_portal.open_for(customer.organization)


def test_plans_are_not_changed_in_the_portal_and_it_is_configured_once(shop: Sandbox) -> None:
    first = hosted_portal.configure()
    assert hosted_portal.configure() == first
    features = client.call("billing_portal.configurations.retrieve", first)["features"]
    assert {name: feature["enabled"] for name, feature in features.items()} == {
        "customer_update": True,
        "invoice_history": True,
        "payment_method_update": True,
        "subscription_cancel": False,
        "subscription_update": False,
    }
