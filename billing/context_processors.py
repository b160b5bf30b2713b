from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import Organization
from billing.selling import debts
from superagent.foundation import tenancy


def debt(request: HttpRequest) -> dict[str, Any]:
    """For the banner of every portal page: the invoice that a card was declined for. Lazy: queried when it is shown."""
    organization = getattr(request, "organization", None)
    if organization is None:
        return {}
    return {"debt": SimpleLazyObject(lambda: _debt(organization))}


def _debt(organization: Organization) -> debts.Debt | None:
    with tenancy.tenant(organization):  # allauth's pages have the frame too, but no tenant scope
        return debts.declined(organization)
