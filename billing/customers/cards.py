"""Which card Stripe will charge for a subscription."""

from dataclasses import dataclass

from billing.models import BillingAccount, Subscription
from billing.stripe import client


@dataclass(frozen=True, slots=True)
class Card:
    brand: str
    last_four: str


def charged_for(subscription: Subscription) -> Card | None:
    """Returns the subscription's card, else the customer's, else None; None if Stripe is down. Calls Stripe."""
    try:
        fetched = client.call(
            "subscriptions.retrieve", subscription.stripe_id, params={"expand": ["default_payment_method"]}
        )
    except client.Unavailable:
        return None
    if own := fetched.get("default_payment_method"):
        card = own.get("card") or {}
        return Card(card.get("brand") or own["type"], card.get("last4") or "")
    account = BillingAccount.objects.filter(organization=subscription.organization_id).first()
    if account is None or not account.has_card:
        return None
    return Card(account.card_brand, account.card_last_four)
