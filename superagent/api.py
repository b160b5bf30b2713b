"""The API's composition: /api/v1/ from every app, and its schema."""

from typing import Any

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

v1: list[URLPattern | URLResolver] = [
    path("", include("accounts.api_urls")),
    path("", include("metering.api_urls")),
    path("", include("billing.api_urls")),
    path("", include("licensing.api_urls")),
]

urlpatterns = [
    path("v1/", include(v1)),
    path("schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="api-schema"), name="api-docs"),
]


def describe_stream(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook of drf-spectacular: the one operation that is no view of DRF's."""
    events = {
        "description": "`usage` events.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    result["paths"]["/api/v1/usage/stream"] = {
        "get": {
            "operationId": "usage_stream",
            "summary": "Live counters of the usage period, as server-sent events",
            "tags": ["usage"],
            "security": result["paths"]["/api/v1/quotas"]["get"]["security"],
            "responses": {"200": events},
        }
    }
    return result
