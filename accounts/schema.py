from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

API_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key of an organization: `Authorization: Bearer sa_test_…`.",
}


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "accounts.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return API_KEY


class JwtScheme(OpenApiAuthenticationExtension):
    target_class = "accounts.authentication.JwtAuthentication"
    name = "AccessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A person's access token, from `auth/login`. `X-Organization-Id` chooses the organization.",
        }
