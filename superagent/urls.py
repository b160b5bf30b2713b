"""Every address of the product: pages of the apps, the API, the admin, and what machines ask."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("accounts.urls")),  # before allauth's: its sign-up page is ours
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("superagent.api")),
]
