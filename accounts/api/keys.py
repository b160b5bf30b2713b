"""api-keys: list, create, detail, rotate, revoke."""

from datetime import timedelta
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import api_keys, serializers
from accounts.api.requests import user_of
from accounts.authentication import ApiRequest
from accounts.models import ApiKey
from accounts.roles import Scope
from superagent.foundation.idempotency import idempotent_with_secret
from superagent.foundation.problems import NotFound
from superagent.foundation.views import ApiView, ListView, parsed_body

READ_WRITE = {"GET": Scope.KEYS_READ, "POST": Scope.KEYS_WRITE, "DELETE": Scope.KEYS_WRITE}


@extend_schema(tags=["api-keys"])
class ApiKeys(ListView):
    request: ApiRequest
    required_scope = READ_WRITE
    serializer_class = serializers.ApiKeyResponse
    filterset_fields = ["name", "prefix"]
    queryset = ApiKey.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[ApiKey]:
        return _keys(self.request)

    @extend_schema(
        operation_id="api_keys_list",
        summary="List API keys",
        description="Revoked and expired keys are included; see `status`.",
    )
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="api_keys_create",
        summary="Create an API key",
        description=(
            "The response contains the plain-text key, which cannot be retrieved later. You can only grant scopes that "
            "you have yourself."
        ),
        request=serializers.CreateApiKeyRequest,
        responses={201: serializers.NewApiKeyResponse},
    )
    @idempotent_with_secret("key")
    def post(self, request: ApiRequest) -> Response:
        body = parsed_body(request, serializers.CreateApiKeyRequest)
        key, plain_text = api_keys.create(
            organization=request.organization,
            name=body["name"],
            scopes=body["scopes"],
            created_by=user_of(request),
            expires_at=body["expires_at"],
            now=timezone.now(),
            created_with=request.principal.api_key_id,
        )
        return _made(key, plain_text)


@extend_schema(tags=["api-keys"])
class ApiKeyDetail(ApiView):
    required_scope = READ_WRITE

    @extend_schema(
        operation_id="api_keys_get", summary="Get an API key", responses=serializers.ApiKeyResponse
    )
    def get(self, request: ApiRequest, key_id: UUID) -> Response:
        key = _keys(request).filter(pk=key_id).first()
        if key is None:
            raise NotFound("There is no such API key.")
        return Response(serializers.ApiKeyResponse(key, context={"request": request}).data)

    @extend_schema(
        operation_id="api_keys_delete",
        summary="Delete an API key",
        description="Revokes the key immediately, like `api-keys/{key_id}/revoke`. Its record is kept.",
        responses={204: None},
    )
    def delete(self, request: ApiRequest, key_id: UUID) -> Response:
        _revoke(request, key_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(tags=["api-keys"])
class RevokeApiKey(ApiView):
    required_scope = Scope.KEYS_WRITE

    @extend_schema(
        operation_id="api_keys_revoke",
        summary="Revoke an API key",
        description="Takes effect immediately: the next request with the key gets 401.",
        request=None,
        responses=serializers.ApiKeyResponse,
    )
    def post(self, request: ApiRequest, key_id: UUID) -> Response:
        return Response(serializers.ApiKeyResponse(_revoke(request, key_id)).data)


@extend_schema(tags=["api-keys"])
class RotateApiKey(ApiView):
    required_scope = Scope.KEYS_WRITE

    @extend_schema(
        operation_id="api_keys_rotate",
        summary="Rotate an API key",
        description=(
            "Creates a new key with the same name, scopes and lifetime. The old key keeps working for "
            "`grace_seconds`."
        ),
        request=serializers.RotateApiKeyRequest,
        responses={201: serializers.NewApiKeyResponse},
    )
    @idempotent_with_secret("key")
    def post(self, request: ApiRequest, key_id: UUID) -> Response:
        body = parsed_body(request, serializers.RotateApiKeyRequest)
        key, plain_text = api_keys.rotate(
            organization=request.organization,
            key_id=key_id,
            grace=timedelta(seconds=int(body["grace_seconds"])),
            rotated_by=user_of(request),
            now=timezone.now(),
            rotated_with=request.principal.api_key_id,
        )
        return _made(key, plain_text)


def _keys(request: ApiRequest) -> QuerySet[ApiKey]:
    return ApiKey.objects.visible_to(request.organization).select_related("created_by")


def _revoke(request: ApiRequest, key_id: UUID) -> ApiKey:
    return api_keys.revoke(
        organization=request.organization,
        key_id=key_id,
        revoked_by=user_of(request),
        now=timezone.now(),
    )


def _made(key: ApiKey, plain_text: str) -> Response:
    answer = serializers.ApiKeyResponse(key).data | {"key": plain_text}
    return Response(answer, status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})
