from typing import Any

from django.core.exceptions import ImproperlyConfigured
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.memberships import NoOrganization
from accounts.principals import Principal
from accounts.roles import Scope, roles_with
from superagent.foundation.problems import Forbidden


class MissingScope(Forbidden):
    code = "insufficient_scope"
    title = "You don't have permission to do this"


class PersonRequired(Forbidden):
    code = "person_required"
    title = "An API key cannot do this"

    def __init__(self) -> None:
        super().__init__(
            "API keys cannot manage members and organizations, whatever their scopes. Use a user's access token or "
            "the portal."
        )


class HasAccess(BasePermission):
    """Allows authenticated requests that have the view's `required_scope`: a scope, a dict by HTTP method, or None.

    A view without the attribute is an error. HTTP methods in the view's `people_only` are refused to API keys.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.auth is None:
            return False
        scope = required_scope(view, request.method or "")
        is_api_key = isinstance(request.auth, Principal) and request.auth.is_api_key
        if is_api_key and request.method in getattr(view, "people_only", ()):
            raise PersonRequired
        if scope is None:
            return True
        if not isinstance(request.auth, Principal):
            raise NoOrganization("Create an organization, or ask to be invited to one.")
        if not request.auth.allows(scope):
            raise _missing(request.auth, scope)
        return True


def required_scope(view: Any, method: str) -> str | None:
    """Returns the scope that `view` requires for `method`; HEAD and OPTIONS count as GET. Raises MethodNotAllowed."""
    try:
        declared = view.required_scope
    except AttributeError:
        raise ImproperlyConfigured(f"{type(view).__name__} does not declare required_scope") from None
    if not isinstance(declared, dict):
        return declared
    if method in ("HEAD", "OPTIONS"):
        method = "GET" if "GET" in declared else next(iter(declared))
    if method not in declared:  # every method must be declared
        raise MethodNotAllowed(method)
    return declared[method]


def _missing(principal: Principal, scope: str) -> MissingScope:
    label = Scope(scope).label
    if principal.is_api_key:
        detail = f"The API key lacks the scope {scope} ({label}). Create a key that has it."
    else:
        names = ", ".join(str(role.label) for role in roles_with(scope))
        detail = f"Your role lacks {scope} ({label}). These roles have it: {names}."
    return MissingScope(
        detail,
        scope=scope,
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
    )
