from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from billing import overview


def past_due(request: HttpRequest) -> dict[str, Any]:
    """For the banner of every portal page: the invoice that a card was declined for, asked for when it is shown."""
    organization = getattr(request, "organization", None)
    if organization is None:
        return {}
    return {"past_due_invoice": SimpleLazyObject(lambda: overview.past_due_invoice(organization))}
