"""All URLs of the product: pages of the apps, the API, the admin, health and metrics."""

from django.contrib import admin
from django.urls import include, path, re_path

from superagent.operations import views as operations
from superagent.portal import error_pages
from superagent.portal import views as portal

urlpatterns = [
    path("", portal.landing, name="landing"),
    path("dashboard/", portal.dashboard, name="dashboard"),
    path("dashboard/live/", portal.dashboard_live, name="dashboard-live"),
    path("search/", portal.search_records, name="search"),
    path("", include("accounts.urls")),  # before allauth's: its sign-up page is ours
    path("", include("metering.urls")),
    path("", include("billing.urls")),
    path("", include("licensing.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("superagent.api")),
    path("docs/problems", portal.problem_pages, name="problems"),
    path("health/live", operations.health_live, name="health-live"),
    path("health/ready", operations.health_ready, name="health-ready"),
    path("metrics", operations.metrics_page, name="metrics"),
    path("robots.txt", portal.robots, name="robots"),
    path(".well-known/security.txt", portal.security, name="security-txt"),
    path("favicon.ico", portal.favicon, name="favicon"),
    path("_styleguide/", portal.style_guide, name="styleguide"),
    re_path("", error_pages.nothing, name="nothing"),  # matches everything: <path:> stops at a line end
]

handler400 = error_pages.bad_request
handler403 = error_pages.forbidden
handler404 = error_pages.not_found
handler405 = error_pages.method_not_allowed  # ours: superagent.portal.middleware asks for it
handler429 = error_pages.too_many_attempts
handler500 = error_pages.failed
