from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts import memberships, roles
from accounts.roles import Scope


def portal(request: HttpRequest) -> dict[str, Any]:
    """For the portal's navigation: the organization, the member's role and scopes, and where else they belong."""
    membership = getattr(request, "membership", None)
    if membership is None:
        return {}
    return {
        "organization": membership.organization,
        "membership": membership,
        "may": {scope.name.lower(): roles.allows(membership.role, scope) for scope in Scope},
        "memberships": SimpleLazyObject(lambda: memberships.of_user(request.user)),  # type: ignore[arg-type]
    }
