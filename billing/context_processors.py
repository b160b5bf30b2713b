from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import Organization
from billing import overview
from billing.models import Invoice
from superagent.foundation import tenancy


def past_due(request: HttpRequest) -> dict[str, Any]:
    """For the banner of every portal page: the invoice that a card was declined for, asked for when it is shown."""
    organization = getattr(request, "organization", None)
    if organization is None:
        return {}
    return {"past_due_invoice": SimpleLazyObject(lambda: _past_due_invoice(organization))}


def _past_due_invoice(organization: Organization) -> Invoice | None:
    with tenancy.tenant(organization):  # pages of allauth, which have the frame too, open no scope
        return overview.past_due_invoice(organization)
