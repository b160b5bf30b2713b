"""auth/me (also users/me) and users."""

from typing import Any
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.response import Response

from accounts import customers, memberships, people, serializers
from accounts.api.requests import OF_PEOPLE, person_of, role_of
from accounts.authentication import ApiRequest, JwtAuthentication
from accounts.models import Membership, Organization, User
from accounts.principals import Principal
from accounts.roles import Scope
from superagent.foundation.problems import Forbidden, NotFound
from superagent.foundation.views import ApiView, ListView, parsed_body


def describe(user: User, organization: Organization | None) -> dict[str, Any]:
    """Returns the fields of a user, with the organization that they act for."""
    return {
        "id": user.pk,
        "email": user.email,
        "full_name": user.full_name,
        "is_active": user.is_active,
        "created_at": user.created_at,
        "organization": {"id": organization.pk, "name": organization.name} if organization else None,
        "stripe_customer_id": customers.id_of(organization) if organization else None,
    }


@extend_schema(tags=["auth"])
class Me(ApiView):
    """The user of the access token. API keys have no user and get 401."""

    authentication_classes = [JwtAuthentication]
    required_scope = None

    @extend_schema(
        operation_id="auth_me",
        summary="Get the current user",
        description=(
            "Returns the user of the access token, and their role and scopes in the organization of the request "
            "(`X-Organization-Id`, else their default one)."
        ),
        responses=serializers.MeResponse,
    )
    def get(self, request: ApiRequest) -> Response:
        return self._answer(request, person_of(request))

    @extend_schema(
        operation_id="auth_me_update",
        summary="Update the current user",
        request=serializers.UpdateMeRequest,
        responses=serializers.MeResponse,
    )
    def patch(self, request: ApiRequest) -> Response:
        person = person_of(request)
        if "full_name" in (body := parsed_body(request, serializers.UpdateMeRequest)):
            person = people.rename(user=person, full_name=body["full_name"])
        return self._answer(request, person)

    def _answer(self, request: ApiRequest, user: User) -> Response:
        principal = request.auth if isinstance(request.auth, Principal) else None
        answer = describe(user, request.organization if principal else None) | {
            "is_email_verified": people.has_verified_email(user),
            "role": role_of(request),
            "scopes": [scope.value for scope in Scope if principal and principal.allows(scope)],
        }
        return Response(serializers.MeResponse(answer, context={"request": request}).data)


@extend_schema_view(
    get=extend_schema(
        tags=["users"],
        operation_id="users_me",
        summary="Get the current user",
        description="The same as `auth/me`.",
    ),
    patch=extend_schema(
        tags=["users"],
        operation_id="users_me_update",
        summary="Update the current user",
        description="The same as `auth/me`.",
    ),
)
class UsersMe(Me):
    """The same under `users/me`."""


def _users(request: ApiRequest) -> QuerySet[User]:
    """Returns the members of the organization as users, annotated with their role as `role_here`."""
    here = Membership.objects.visible_to(request.organization)
    role = Subquery(here.filter(user=OuterRef("pk")).values("role")[:1])
    return User.objects.filter(pk__in=here.values("user_id")).annotate(role_here=role)


@extend_schema_view(
    get=extend_schema(
        tags=["users"],
        operation_id="users_list",
        summary="List users",
        description="Lists the members of the organization with their roles.",
    )
)
class Users(ListView):
    request: ApiRequest
    required_scope = Scope.ORGANIZATION_READ
    serializer_class = serializers.UserResponse
    filterset_fields = ["email"]
    queryset = User.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[User]:
        return _users(self.request)


@extend_schema(tags=["users"])
class UserDetail(ApiView):
    required_scope = Scope.ORGANIZATION_READ

    @extend_schema(
        operation_id="users_get",
        summary="Get a user",
        responses=serializers.UserResponse,
    )
    def get(self, request: ApiRequest, user_id: UUID) -> Response:
        return self._answer(request, user_id)

    @extend_schema(
        operation_id="users_update",
        summary="Update a user",
        description="Changes your own name, or a member's role.",
        auth=OF_PEOPLE,
        request=serializers.UpdateUserRequest,
        responses=serializers.UserResponse,
    )
    def patch(self, request: ApiRequest, user_id: UUID) -> Response:
        body = parsed_body(request, serializers.UpdateUserRequest)
        user = self._find(request, user_id)
        person = person_of(request)
        if "full_name" in body:
            if person != user:
                raise Forbidden("You can only change your own name.")
            people.rename(user=user, full_name=body["full_name"])
        if "role" in body:
            if not request.principal.allows(Scope.ORGANIZATION_WRITE):
                raise Forbidden("Changing a role requires the scope organization:write.")
            memberships.change_role(
                organization=request.organization,
                user_id=user_id,
                role=body["role"],
                by=person,
                revoke_keys=body["revoke_keys"],
                now=timezone.now(),
            )
        return self._answer(request, user_id)

    def _find(self, request: ApiRequest, user_id: UUID) -> User:
        user = _users(request).filter(pk=user_id).first()
        if user is None:
            raise NotFound("There is no such user in the organization.")
        return user

    def _answer(self, request: ApiRequest, user_id: UUID) -> Response:
        user = self._find(request, user_id)
        return Response(serializers.UserResponse(user, context={"request": request}).data)
