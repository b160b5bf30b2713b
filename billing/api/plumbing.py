"""What the API views of billing share."""

from datetime import datetime
from typing import Any

from rest_framework.request import Request
from rest_framework.serializers import Serializer

from accounts.models import Organization, User
from accounts.roles import Scope
from superagent.foundation import clock

READ_WRITE = {"GET": Scope.BILLING_READ, "POST": Scope.BILLING_WRITE, "DELETE": Scope.BILLING_WRITE}


def parsed(request: Request, serializer: type[Serializer]) -> dict[str, Any]:
    """The body's valid fields. Raises DRF's ValidationError."""
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    return body.validated_data


def organization_of(request: Request) -> Organization:
    return request.organization  # type: ignore[attr-defined]  # set by our authentication


def user_of(request: Request) -> User | None:
    """The member; None for an API key."""
    return request.user if isinstance(request.user, User) else None


def now_of(request: Request) -> datetime:
    return clock.now(organization_of(request))
