"""Stripe's id of an organization, so that the API can show it. The upper floor that knows Stripe provides it."""

from accounts.models import Organization
from superagent.foundation.ports import Port


@Port
def id_of(organization: Organization) -> str | None:
    """Returns Stripe's id of the customer, None until it is known. Opens the scope that it needs."""
    return None
