"""The API's composition: /api/v1/ from every app, its schema and its reference."""

from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from superagent.portal.reference import views

app_name = "api"

v1: list[URLPattern | URLResolver] = [
    path("", include("accounts.api_urls")),
    path("", include("metering.api_urls")),
    path("", include("billing.api_urls")),
    path("", include("licensing.api_urls")),
]

urlpatterns = [
    path("v1/", include(v1)),
    path("schema", RedirectView.as_view(pattern_name="api:schema", query_string=True)),
    path("schema/", views.schema, name="schema"),
    path("docs/", views.index, name="docs"),
    path("docs/<slug:slug>/", views.area, name="docs-area"),
]
