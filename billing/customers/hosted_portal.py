"""Stripe's customer portal, where customers manage cards, addresses and tax ids; we store none of these."""

from django.conf import settings
from django.urls import reverse

from accounts.models import Organization
from billing.customers import stripe_customers
from billing.stripe import client

CONFIGURATION_MARK = "superagent"


def open_for(organization: Organization) -> str:
    """Returns the URL of a short-lived portal session. Calls Stripe. Raises client.Unavailable."""
    session = client.call(
        "billing_portal.sessions.create",
        params={
            "customer": stripe_customers.ensure(organization),
            "return_url": settings.PUBLIC_URL + reverse("billing"),
        },
    )
    return str(session["url"])


def configure() -> str:
    """Configure the portal for cards, billing details and invoices only. Idempotent. Returns the configuration's id.

    Plans are changed and canceled on our own pages, which show a preview.
    """
    wanted = {
        "business_profile": {"headline": "SuperAgent: your cards and billing details"},
        "features": {
            "customer_update": {"enabled": True, "allowed_updates": ["email", "address", "tax_id", "name"]},
            "invoice_history": {"enabled": True},
            "payment_method_update": {"enabled": True},
            "subscription_cancel": {"enabled": False},
            "subscription_update": {"enabled": False},
        },
        "default_return_url": settings.PUBLIC_URL + reverse("billing"),
        "metadata": {"made_by": CONFIGURATION_MARK},
    }
    for known in client.listed("billing_portal.configurations.list", params={"active": True}):
        if (known.get("metadata") or {}).get("made_by") == CONFIGURATION_MARK:
            return str(client.call("billing_portal.configurations.update", known["id"], params=wanted)["id"])
    return str(client.call("billing_portal.configurations.create", params=wanted)["id"])
