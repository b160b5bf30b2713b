from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import Organization
from billing.selling import debts
from superagent.foundation import tenancy


def debt(request: HttpRequest) -> dict[str, Any]:
    """For the banner of every portal page: what a card was declined for, asked for when it is shown."""
    organization = getattr(request, "organization", None)
    if organization is None:
        return {}
    return {"debt": SimpleLazyObject(lambda: _debt(organization))}


def _debt(organization: Organization) -> debts.Debt | None:
    with tenancy.tenant(organization):  # pages of allauth, which have the frame too, open no scope
        return debts.declined(organization)
