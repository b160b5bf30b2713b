from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts import access, closures, roles
from accounts.roles import Scope


def portal(request: HttpRequest) -> dict[str, Any]:
    """For pages of logged-in people: `may.keys_write` and so on, what the member's role allows here, and `closing`,
    when the account is going to be closed, for the banner.

    Pages that are not ours (allauth's) get `request.organization` and `request.membership` for the frame as well.
    """
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    membership = access.attached_membership(request)
    if membership is None:
        return {}
    return {
        "may": _allowed(membership.role),
        "closing": SimpleLazyObject(lambda: closures.pending(user=user)),
    }


@cache
def _allowed(role: str) -> Mapping[str, bool]:
    return MappingProxyType({scope.name.lower(): roles.allows(role, scope) for scope in Scope})
