"""organizations, their members and invitations."""

from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import invitations, memberships, organizations, people, serializers
from accounts.api.requests import OF_PEOPLE, OfOrganization, person_of, user_of
from accounts.authentication import ApiRequest, JwtAuthentication
from accounts.models import Invitation, Membership, Organization
from accounts.roles import Scope
from superagent.foundation import tenancy
from superagent.foundation.idempotency import idempotent, idempotent_for_person
from superagent.foundation.problems import Forbidden, NotFound
from superagent.foundation.views import ApiView, ListView, parsed_body, parsed_query

READ_WRITE = {
    "GET": Scope.ORGANIZATION_READ,
    "POST": Scope.ORGANIZATION_WRITE,
    "PATCH": Scope.ORGANIZATION_WRITE,
    "DELETE": Scope.ORGANIZATION_WRITE,
}


@extend_schema(tags=["organizations"])
class Organizations(ListView):
    """Lists all organizations of a user, or the one of an API key."""

    request: ApiRequest
    required_scope = None
    people_only = frozenset({"POST"})
    serializer_class = serializers.OrganizationResponse
    queryset = Organization.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Organization]:
        person = user_of(self.request)
        if person is None:
            return Organization.objects.filter(pk=self.request.organization.pk)
        return Organization.objects.filter(memberships__user=person)

    @extend_schema(
        operation_id="organizations_list",
        summary="List organizations",
        description="With an access token, all organizations of the user; with an API key, its own.",
    )
    def get(self, request: Request) -> Response:
        with tenancy.system("a person lists all their organizations"):
            return self.list(request)

    @extend_schema(
        operation_id="organizations_create",
        summary="Create an organization",
        description="You become its owner. It starts on the free plan.",
        auth=OF_PEOPLE,
        request=serializers.CreateOrganizationRequest,
        responses={201: serializers.OrganizationResponse},
    )
    @idempotent_for_person
    def post(self, request: ApiRequest) -> Response:
        body = parsed_body(request, serializers.CreateOrganizationRequest)
        organization = organizations.create(name=body["name"], owner=person_of(request), now=timezone.now())
        return Response(serializers.OrganizationResponse(organization).data, status.HTTP_201_CREATED)


@extend_schema(tags=["organizations"])
class OrganizationDetail(OfOrganization):
    required_scope = READ_WRITE

    @extend_schema(
        operation_id="organizations_get",
        summary="Get an organization",
        responses=serializers.OrganizationResponse,
    )
    def get(self, request: ApiRequest, organization_id: UUID) -> Response:
        return Response(
            serializers.OrganizationResponse(request.organization, context={"request": request}).data
        )

    @extend_schema(
        operation_id="organizations_update",
        summary="Update an organization",
        description="Its name, and the address that invoices are mailed to.",
        request=serializers.UpdateOrganizationRequest,
        responses=serializers.OrganizationResponse,
    )
    def patch(self, request: ApiRequest, organization_id: UUID) -> Response:
        body = parsed_body(request, serializers.UpdateOrganizationRequest)
        organization = request.organization
        updated = organizations.update(
            organization=organization,
            name=body.get("name", organization.name),
            email=body.get("email", organization.email),
        )
        return Response(serializers.OrganizationResponse(updated).data)


@extend_schema_view(
    get=extend_schema(tags=["organizations"], operation_id="members_list", summary="List members")
)
class Members(OfOrganization, ListView):
    request: ApiRequest
    required_scope = READ_WRITE
    serializer_class = serializers.MemberResponse
    filterset_fields = ["role"]
    queryset = Membership.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Membership]:
        return Membership.objects.visible_to(self.request.organization).select_related("user")


@extend_schema(tags=["organizations"])
class Member(OfOrganization):
    required_scope = READ_WRITE
    people_only = frozenset({"PATCH", "DELETE"})

    @extend_schema(operation_id="members_get", summary="Get a member", responses=serializers.MemberResponse)
    def get(self, request: ApiRequest, organization_id: UUID, user_id: UUID) -> Response:
        return self._answer(request, user_id)

    @extend_schema(
        operation_id="members_update",
        summary="Change a member's role",
        description="With `revoke_keys`, API keys that the member created and that exceed the new role are revoked.",
        auth=OF_PEOPLE,
        request=serializers.UpdateMemberRequest,
        responses=serializers.MemberResponse,
    )
    def patch(self, request: ApiRequest, organization_id: UUID, user_id: UUID) -> Response:
        body = parsed_body(request, serializers.UpdateMemberRequest)
        if "role" in body:
            memberships.change_role(
                organization=request.organization,
                user_id=user_id,
                role=body["role"],
                by=person_of(request),
                revoke_keys=body["revoke_keys"],
                now=timezone.now(),
            )
        return self._answer(request, user_id)

    @extend_schema(
        operation_id="members_remove",
        summary="Remove a member",
        description=(
            "Members can remove themselves to leave the organization. With `revoke_keys`, API keys that the member "
            "created are revoked."
        ),
        auth=OF_PEOPLE,
        parameters=[serializers.RemoveMemberQuery],
        responses={204: None},
    )
    def delete(self, request: ApiRequest, organization_id: UUID, user_id: UUID) -> Response:
        query = parsed_query(request, serializers.RemoveMemberQuery)
        memberships.remove(
            organization=request.organization,
            user_id=user_id,
            by=person_of(request),
            revoke_keys=query["revoke_keys"],
            now=timezone.now(),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _answer(self, request: ApiRequest, user_id: UUID) -> Response:
        here = Membership.objects.visible_to(request.organization).select_related("user")
        membership = here.filter(user_id=user_id).first()
        if membership is None:
            raise NotFound("There is no such member.")
        return Response(serializers.MemberResponse(membership, context={"request": request}).data)


@extend_schema(tags=["organizations"])
class Invitations(OfOrganization, ListView):
    request: ApiRequest
    required_scope = READ_WRITE
    people_only = frozenset({"POST"})
    serializer_class = serializers.InvitationResponse
    filterset_fields = ["email", "role"]
    queryset = Invitation.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Invitation]:
        return Invitation.objects.visible_to(self.request.organization).select_related("invited_by")

    @extend_schema(operation_id="invitations_list", summary="List invitations")
    def get(self, request: Request, organization_id: UUID) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="invitations_create",
        summary="Invite a person",
        description="Mails a link to join the organization. It expires after 7 days.",
        auth=OF_PEOPLE,
        request=serializers.CreateInvitationRequest,
        responses={201: serializers.InvitationResponse},
    )
    @idempotent
    def post(self, request: ApiRequest, organization_id: UUID) -> Response:
        body = parsed_body(request, serializers.CreateInvitationRequest)
        invitation = invitations.invite(
            organization=request.organization,
            email=body["email"],
            role=body["role"],
            invited_by=person_of(request),
            now=timezone.now(),
        )
        return Response(serializers.InvitationResponse(invitation).data, status.HTTP_201_CREATED)


@extend_schema(tags=["organizations"])
class InvitationDetail(OfOrganization):
    required_scope = READ_WRITE
    people_only = frozenset({"DELETE"})

    @extend_schema(
        operation_id="invitations_revoke",
        summary="Withdraw an invitation",
        auth=OF_PEOPLE,
        responses={204: None},
    )
    def delete(self, request: ApiRequest, organization_id: UUID, invitation_id: UUID) -> Response:
        invitations.revoke(organization=request.organization, invitation_id=invitation_id, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["organizations"])
class AcceptInvitation(ApiView):
    """For the invited user, who is not a member yet: the invitation is found by their confirmed address."""

    authentication_classes = [JwtAuthentication]
    required_scope = None

    @extend_schema(
        operation_id="invitations_accept",
        summary="Accept an invitation",
        description=(
            "For the invited user: needs an access token of the account whose confirmed address was invited."
        ),
        request=None,
        responses=serializers.MemberResponse,
    )
    def post(self, request: ApiRequest, inviting_organization_id: UUID, invitation_id: UUID) -> Response:
        now, person = timezone.now(), person_of(request)
        if not people.has_verified_email(person):
            raise Forbidden("Confirm your email address first: the invitation was sent there.")
        mine = [
            invitation
            for invitation in invitations.open_for(person, now)
            if (invitation.pk, invitation.organization_id) == (invitation_id, inviting_organization_id)
        ]
        if not mine:
            raise NotFound("There is no such invitation for your email address.")
        membership = invitations.accept(invitation=mine[0], user=person, now=now)
        return Response(serializers.MemberResponse(membership).data)
