"""What the API views of accounts share."""

from typing import Any, TypeVar
from uuid import UUID

from rest_framework.request import Request
from rest_framework.serializers import Serializer

from accounts.models import Organization, User
from accounts.permissions import PersonRequired
from accounts.principals import Principal
from accounts.roles import Role
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView

ORGANIZATION = "organization_id"  # the name of the part of a path that accounts.authentication looks at too
OF_PEOPLE: Any = [{"AccessToken": []}]  # for the schema, which is typed otherwise: what an API key cannot do
View = TypeVar("View", bound=ApiView)


def parsed(request: Request, serializer: type[Serializer]) -> dict[str, Any]:
    """The body's valid fields. Raises DRF's ValidationError."""
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    return body.validated_data


def principal_of(request: Request) -> Principal:
    """Who acts. For views with a `required_scope`: a person without an organization does not get there."""
    principal = request.auth
    assert isinstance(principal, Principal), "HasAccess lets nobody else through"
    return principal


def caller_of(request: Request) -> User | None:
    """The person who calls; None for an API key."""
    user = request.user
    return user if isinstance(user, User) else None


def person_of(request: Request) -> User:
    """The person who calls. Raises PersonRequired for an API key."""
    user = caller_of(request)
    if user is None:
        raise PersonRequired
    return user


def organization_of(request: Request) -> Organization:
    return request.organization  # type: ignore[attr-defined]  # set by our authentication


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
