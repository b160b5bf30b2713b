"""What a pricing link chose, for the sign-up page: fills the port accounts.offers.find."""

from collections.abc import Mapping

from accounts.offers import Offer
from billing.catalog import pricing
from licensing.offers import license_offers


def chosen_offer(chosen: Mapping[str, str]) -> Offer | None:
    """The plan or license product that the link names, at its interval (monthly, unless it says yearly)."""
    if not chosen:
        return None
    interval = "year" if chosen.get("interval") == "year" else "month"
    offers = license_offers() if "product" in chosen else pricing.plan_offers()
    slug = chosen.get("product") or chosen.get("plan")
    for offer in offers:
        amount = offer.yearly if interval == "year" else offer.monthly
        if offer.slug == slug and amount is not None:
            return Offer(offer.name, amount, offer.currency, interval)
    return None
