"""Shared by serializers: partial responses by `?fields=`, bodies with an idempotency key."""

from typing import Any

from rest_framework import serializers


class PartialResponse(serializers.Serializer):
    """Mixin: `?fields=id,name` returns only these fields of each object; `contract` refuses unknown names."""

    def to_representation(self, instance: Any) -> dict[str, Any]:
        answer: dict[str, Any] = super().to_representation(instance)
        request = self.context.get("request")
        if request is None or request.method not in ("GET", "HEAD") or "fields" not in request.GET:
            return answer
        wanted = request.GET["fields"].split(",")
        return {name: value for name, value in answer.items() if name in wanted}


class KeyedRequest(serializers.Serializer):
    """Mixin for request bodies with an idempotency key, which `foundation.idempotency` reads."""

    idempotency_key = serializers.CharField(
        max_length=255,
        required=False,
        write_only=True,
        help_text="As the header Idempotency-Key; if both are sent, they must be the same.",
    )

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        values.pop("idempotency_key", None)
        return values
