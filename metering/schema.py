"""What the OpenAPI schema must be told."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from accounts import schema as accounts_schema


class MeteredApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "metering.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return accounts_schema.ApiKeyScheme.get_security_definition(self, auto_schema)  # type: ignore[arg-type]  # the same text
