"""The user and organization of an API request."""

from typing import Any
from uuid import UUID

from rest_framework.request import Request

from accounts.models import User
from accounts.permissions import PersonRequired
from accounts.principals import Principal
from accounts.roles import Role
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView

ORGANIZATION = "organization_id"  # the path parameter that accounts.authentication reads, too
OF_PEOPLE: Any = [
    {"AccessToken": []}
]  # for the schema of endpoints that API keys cannot use; its annotation is too narrow


def user_of(request: Request) -> User | None:
    """Returns the user who makes the request; None for an API key."""
    user = request.user
    return user if isinstance(user, User) else None


def person_of(request: Request) -> User:
    """Returns the user who makes the request. Raises PersonRequired for an API key."""
    user = user_of(request)
    if user is None:
        raise PersonRequired
    return user


def role_of(request: Request) -> Role | None:
    """Returns the member's role; None for an API key."""
    membership = getattr(request._request, "membership", None)
    return Role(membership.role) if membership else None


class OfOrganization(ApiView):
    """A view under `organizations/{organization_id}/`; other organizations are 404, for API keys and members."""

    def check_permissions(self, request: Request) -> None:
        wanted: UUID = self.kwargs[ORGANIZATION]
        if isinstance(request.auth, Principal) and wanted != request.auth.organization_id:
            raise NotFound("There is no such organization.")
        super().check_permissions(request)
