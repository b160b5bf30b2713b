"""Who sends a request of the API, and to which organization its path leads."""

from typing import Any
from uuid import UUID

from rest_framework.request import Request

from accounts.models import User
from accounts.permissions import PersonRequired
from accounts.principals import Principal
from accounts.roles import Role
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView

ORGANIZATION = "organization_id"  # the name of the part of a path that accounts.authentication looks at too
OF_PEOPLE: Any = [{"AccessToken": []}]  # for the schema, which is typed otherwise: what an API key cannot do


def user_of(request: Request) -> User | None:
    """The person who calls; None for an API key."""
    user = request.user
    return user if isinstance(user, User) else None


def person_of(request: Request) -> User:
    """The person who calls. Raises PersonRequired for an API key."""
    user = user_of(request)
    if user is None:
        raise PersonRequired
    return user


def role_of(request: Request) -> Role | None:
    """The member's role; None for an API key."""
    membership = getattr(request._request, "membership", None)
    return Role(membership.role) if membership else None


class OfOrganization(ApiView):
    """A view under `organizations/{organization_id}/`: another organization's is 404, for keys and members alike."""

    def check_permissions(self, request: Request) -> None:
        wanted: UUID = self.kwargs[ORGANIZATION]
        if isinstance(request.auth, Principal) and wanted != request.auth.organization_id:
            raise NotFound("There is no such organization.")
        super().check_permissions(request)
