"""The API's composition: /api/v1/ from every app, and its schema."""

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
