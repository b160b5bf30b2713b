"""api-keys: list, create, detail, rotate, revoke."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import api_keys, serializers
from accounts.api.requests import caller_of, organization_of, parsed, principal_of
from accounts.models import ApiKey
from accounts.roles import Scope
from superagent.foundation import idempotency
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView, ListView

READ_WRITE = {"GET": Scope.KEYS_READ, "POST": Scope.KEYS_WRITE, "DELETE": Scope.KEYS_WRITE}


@extend_schema(tags=["api-keys"])
class ApiKeys(ListView):
    required_scope = READ_WRITE
    serializer_class = serializers.ApiKeyResponse
    filterset_fields = ["name", "prefix"]
    queryset = ApiKey.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[ApiKey]:
        return _keys(self.request)

    @extend_schema(
        operation_id="api_keys_list",
        summary="List API keys",
        description="Keys that were revoked or have expired are listed too; `status` says which.",
    )
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="api_keys_create",
        summary="Create an API key",
        description=(
            "The answer holds the key itself, this once. A key can be given no scope that its maker lacks."
        ),
        request=serializers.CreateApiKeyRequest,
        responses={201: serializers.NewApiKeyResponse},
    )
    def post(self, request: Request) -> Response:
        body = parsed(request, serializers.CreateApiKeyRequest)

        def create() -> tuple[ApiKey, str]:
            return api_keys.create(
                organization=organization_of(request),
                name=body["name"],
                scopes=body["scopes"],
                created_by=caller_of(request),
                expires_at=body["expires_at"],
                now=timezone.now(),
                made_with=principal_of(request).api_key_id,
            )

        return _shown_once(request, "POST api-keys", create)


@extend_schema(tags=["api-keys"])
class ApiKeyDetail(ApiView):
    required_scope = READ_WRITE

    @extend_schema(
        operation_id="api_keys_get", summary="Get an API key", responses=serializers.ApiKeyResponse
    )
    def get(self, request: Request, key_id: UUID) -> Response:
        key = _keys(request).filter(pk=key_id).first()
        if key is None:
            raise NotFound("There is no such API key.")
        return Response(serializers.ApiKeyResponse(key, context={"request": request}).data)

    @extend_schema(
        operation_id="api_keys_delete",
        summary="Delete an API key",
        description="Revokes it at once, as `api-keys/{key_id}/revoke` does; its record stays.",
        responses={204: None},
    )
    def delete(self, request: Request, key_id: UUID) -> Response:
        _revoke(request, key_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["api-keys"])
class RevokeApiKey(ApiView):
    required_scope = Scope.KEYS_WRITE

    @extend_schema(
        operation_id="api_keys_revoke",
        summary="Revoke an API key",
        description="At once: the next call with it is 401.",
        request=None,
        responses=serializers.ApiKeyResponse,
    )
    def post(self, request: Request, key_id: UUID) -> Response:
        return Response(serializers.ApiKeyResponse(_revoke(request, key_id)).data)


@extend_schema(tags=["api-keys"])
class RotateApiKey(ApiView):
    required_scope = Scope.KEYS_WRITE

    @extend_schema(
        operation_id="api_keys_rotate",
        summary="Rotate an API key",
        description=(
            "Makes a new key with the same name and scopes. The old one works on for `grace_seconds`."
        ),
        request=serializers.RotateApiKeyRequest,
        responses={201: serializers.NewApiKeyResponse},
    )
    def post(self, request: Request, key_id: UUID) -> Response:
        body = parsed(request, serializers.RotateApiKeyRequest)

        def rotate() -> tuple[ApiKey, str]:
            return api_keys.rotate(
                organization=organization_of(request),
                key_id=key_id,
                grace=timedelta(seconds=int(body["grace_seconds"])),
                rotated_by=caller_of(request),
                now=timezone.now(),
                rotated_with=principal_of(request).api_key_id,
            )

        return _shown_once(request, f"POST api-keys/{key_id}/rotate", rotate)


def _keys(request: Request) -> QuerySet[ApiKey]:
    return ApiKey.objects.visible_to(organization_of(request)).select_related("created_by")


def _revoke(request: Request, key_id: UUID) -> ApiKey:
    return api_keys.revoke(
        organization=organization_of(request),
        key_id=key_id,
        revoked_by=caller_of(request),
        now=timezone.now(),
    )


def _shown_once(request: Request, endpoint: str, make: Callable[[], tuple[ApiKey, str]]) -> Response:
    """201 with the key; for a day, the same Idempotency-Key of the same caller is shown it again."""

    def effect() -> tuple[int, Any]:
        key, plain_text = make()
        return status.HTTP_201_CREATED, _as_json(serializers.ApiKeyResponse(key).data) | {"key": plain_text}

    headers = {"Cache-Control": "no-store"}
    idempotency_key = idempotency.requested_key(request)
    if idempotency_key is None:
        code, answer = effect()
    else:
        code, answer, is_replayed = idempotency.once(
            organization_id=organization_of(request).pk,
            caller=idempotency.caller_of(request),
            endpoint=endpoint,
            key=idempotency_key,
            body=request.data,
            effect=effect,
            sealed_member="key",
        )
        headers |= idempotency.replay_headers(is_replayed=is_replayed)
    return Response(answer, code, headers=headers)


def _as_json(data: Any) -> dict[str, Any]:
    return {
        name: value if value is None or isinstance(value, list) else str(value)
        for name, value in data.items()
    }
