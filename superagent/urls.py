"""Every address of the product: pages of the apps, the API, the admin, and what machines ask."""

from django.contrib import admin
from django.urls import include, path, re_path

from superagent import views

urlpatterns = [
    path("", views.landing, name="landing"),
    path("dashboard/", views.dashboard, name="dashboard"),
    path("dashboard/live/", views.dashboard_live, name="dashboard-live"),
    path("search/", views.search_records, name="search"),
    path("", include("accounts.urls")),  # before allauth's: its sign-up page is ours
    path("", include("metering.urls")),
    path("", include("billing.urls")),
    path("", include("licensing.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("superagent.api")),
    path("docs/problems", views.problem_pages, name="problems"),
    path("health/live", views.health_live, name="health-live"),
    path("health/ready", views.health_ready, name="health-ready"),
    path("metrics", views.metrics_page, name="metrics"),
    path("robots.txt", views.robots, name="robots"),
    path(".well-known/security.txt", views.security, name="security-txt"),
    path("favicon.ico", views.favicon, name="favicon"),
    path("_styleguide/", views.style_guide, name="styleguide"),
    re_path("", views.nothing, name="nothing"),  # whatever it is: <path:> stops at a line end
]

handler400 = views.bad_request
handler403 = views.forbidden
handler404 = views.not_found
handler405 = views.method_not_allowed  # ours: superagent.middleware asks for it
handler429 = views.too_many_attempts
handler500 = views.failed
