from django.urls import path

from licensing import views

urlpatterns = [
    path("licenses/", views.Licenses.as_view(), name="licenses"),
    path("licenses/buy/<slug:product>/", views.Buy.as_view(), name="license-buy"),
    path("licenses/<uuid:license_id>/", views.LicenseDetail.as_view(), name="license"),
    path("licenses/<uuid:license_id>/reveal/", views.Reveal.as_view(), name="license-reveal"),
    path("licenses/<uuid:license_id>/rotate/", views.Rotate.as_view(), name="license-rotate"),
]
