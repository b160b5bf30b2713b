"""DRF authentication by `Authorization: Bearer`: an API key (`sa_…`) or a JSON Web Token.

Both set `organization` and `principal` on the request and activate the tenant scope. `request.auth` is the principal,
`request.user` the user, or None for an API key.
"""

from datetime import datetime
from typing import cast
from uuid import UUID

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts import api_keys, key_records, memberships, tokens
from accounts.models import Membership, Organization, TokenFamily, User
from accounts.principals import Principal
from accounts.roles import SCOPES_OF_ROLE
from superagent.foundation import tenancy
from superagent.foundation.problems import NotFound

ORGANIZATION_HEADER = "X-Organization-Id"
KEY_PREFIX = "sa_"
CHALLENGE = 'Bearer realm="SuperAgent API"'


class AuthenticatedRequest(HttpRequest):
    """Django's request of the API once it is known who asks, as middleware sees it. For annotations."""

    organization: Organization
    principal: Principal
    membership: Membership
    """Of people only."""


class ApiRequest(Request):
    """DRF's request as a view gets it that has a `required_scope`. For annotations only."""

    organization: Organization
    principal: Principal
    asked_at: datetime
    """Of an `idempotent_call`."""


class ApiKeyAuthentication(BaseAuthentication):
    """By `api_keys.resolve`, where a key is checked. Views take `metering.authentication.MeteredKeyAuthentication`: the
    same check in one round trip with the request quota."""

    def authenticate(self, request: Request) -> tuple[None, Principal] | None:
        credential = bearer(request)
        if credential is None or not credential.startswith(KEY_PREFIX):
            return None
        try:
            principal = api_keys.resolve(credential)
        except api_keys.InvalidKey as refusal:
            refusal.headers["WWW-Authenticate"] = CHALLENGE
            raise
        key_records.note_use(principal.api_key_id)
        bind_tenant(request, principal.make_organization(), principal)
        return None, principal

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class JwtAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, Principal | TokenFamily] | None:
        credential = bearer(request)
        if credential is None:
            return None
        if credential.startswith(KEY_PREFIX):
            raise AuthenticationFailed(
                "An API key cannot do this: send the access token of a person.", code="user_token_required"
            )
        try:
            family = tokens.authenticate(credential)
        except tokens.InvalidToken as refusal:
            refusal.headers["WWW-Authenticate"] = CHALLENGE
            raise
        principal = _choose_organization(request, family.user)
        return family.user, principal or family

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def bearer(request: Request) -> str | None:
    """Returns the bearer credential of the Authorization header, if any."""
    kind, _, credential = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if kind.lower() != "bearer":
        return None
    return credential.strip() or None


def bind_tenant(request: Request, organization: Organization, principal: Principal) -> None:
    """Set organization and principal on Django's request, which middleware sees, and activate the tenant scope.

    Raises NotFound for an API key sent with another organization's id in X-Organization-Id.
    """
    http_request = cast(AuthenticatedRequest, request._request)
    named = http_request.META.get("HTTP_X_ORGANIZATION_ID")
    if named is not None and principal.is_api_key and _organization_id(named) != principal.organization_id:
        raise NotFound("There is no such organization for this API key.")
    http_request.organization = organization
    http_request.principal = principal
    tenancy.activate(organization)


def _choose_organization(request: Request, user: User) -> Principal | None:
    """Bind the organization of X-Organization-Id, of the path, or the user's default one.

    Returns None for a user without any. Raises NotFound if the user is not a member, and for an empty header: that is
    an id somebody forgot to fill in, for which the default organization would be a wrong guess.
    """
    in_path = request.parser_context["kwargs"].get("organization_id")
    named = request.headers.get(ORGANIZATION_HEADER, str(in_path) if in_path else None)
    membership = memberships.find(user, None if named is None else _organization_id(named))
    if membership is None:
        if named is not None:
            raise NotFound("There is no such organization.")
        return None
    organization = membership.organization
    principal = Principal(
        organization_id=organization.pk,
        user_id=user.pk,
        api_key_id=None,
        scopes=SCOPES_OF_ROLE[membership.role],
        label=user.email,
        livemode=organization.livemode,
        test_clock_time=organization.test_clock_time,
    )
    cast(AuthenticatedRequest, request._request).membership = membership
    bind_tenant(request, organization, principal)
    return principal


def _organization_id(named: str) -> UUID:
    try:
        return UUID(named)
    except ValueError:
        raise NotFound("There is no such organization.") from None
