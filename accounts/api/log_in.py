"""auth/register, login, refresh, logout."""

from dataclasses import asdict
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit, credentials, memberships, registration, serializers, throttles, tokens
from accounts.api.people import describe
from accounts.guessing import Caller
from superagent.foundation.views import ApiView, parsed_body


class Public(ApiView):
    """Needs no credential; limited by network."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes = [throttles.NetworkThrottle]
    throttle_names: tuple[str, ...] = ("login",)


@extend_schema(tags=["auth"], auth=[])
class Register(Public):
    throttle_names = ("register", "register_day")

    @extend_schema(
        operation_id="auth_register",
        summary="Sign up",
        description="Creates a user and their organization, and mails a link to confirm the address.",
        request=serializers.RegisterRequest,
        responses={201: serializers.RegisteredResponse},
    )
    def post(self, request: Request) -> Response:
        user = registration.register(**parsed_body(request, serializers.RegisterRequest), now=timezone.now())
        membership = memberships.find(user, None)
        answer = describe(user, membership.organization if membership else None)
        return Response(serializers.RegisteredResponse(answer).data, status.HTTP_201_CREATED)


@extend_schema(tags=["auth"], auth=[])
class Login(Public):
    @extend_schema(
        operation_id="auth_login",
        summary="Log in",
        description=(
            "Exchanges email and password for tokens. An account with two-step login gets 401 `otp_required`: repeat "
            "the request with `otp`."
        ),
        request=serializers.LoginRequest,
        responses=serializers.TokenResponse,
    )
    def post(self, request: Request) -> Response:
        body = parsed_body(request, serializers.LoginRequest)
        address = audit.client_address(request._request)
        proven = credentials.verify(**body, caller=Caller(address))
        pair = tokens.log_in(
            user=proven.user,
            factors=proven.factors,
            ip_address=address,
            user_agent=request.headers.get("User-Agent", ""),
            now=timezone.now(),
        )
        return _tokens(pair)


@extend_schema(tags=["auth"], auth=[])
class Refresh(Public):
    throttle_names = ("refresh",)

    @extend_schema(
        operation_id="auth_refresh",
        summary="Refresh tokens",
        description=(
            "Exchanges a refresh token for a new pair. A refresh token works once; using it again ends the login."
        ),
        request=serializers.RefreshRequest,
        responses=serializers.TokenResponse,
    )
    def post(self, request: Request) -> Response:
        body = parsed_body(request, serializers.RefreshRequest)
        return _tokens(tokens.refresh(refresh_token=body["refresh_token"], now=timezone.now()))


@extend_schema(tags=["auth"], auth=[])
class Logout(Public):
    throttle_names = ("refresh",)

    @extend_schema(
        operation_id="auth_logout",
        summary="Log out",
        description="Ends the login of the refresh token, including its access tokens.",
        request=serializers.RefreshRequest,
        responses={204: None},
    )
    def post(self, request: Request) -> Response:
        body = parsed_body(request, serializers.RefreshRequest)
        tokens.log_out(refresh_token=body["refresh_token"], now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


def _tokens(pair: tokens.Pair) -> Response:
    return Response(serializers.TokenResponse(asdict(pair)).data, headers={"Cache-Control": "no-store"})
