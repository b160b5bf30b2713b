from django.urls import path

from licensing.api import members, panels, tiers

urlpatterns = [
    path("licenses", members.Licenses.as_view(), name="licenses"),
    path("licenses/validate", panels.Validate.as_view(), name="license-validate"),
    path("licenses/usage", panels.Usage.as_view(), name="license-usage"),
    path("licenses/activate", panels.Activate.as_view(), name="license-activate"),
    path("licenses/deactivate", panels.Deactivate.as_view(), name="license-deactivate"),
    path("licenses/heartbeat", panels.Heartbeat.as_view(), name="license-heartbeat"),
    path("licenses/public-keys", panels.PublicKeys.as_view(), name="license-public-keys"),
    path("licenses/<uuid:license_id>", members.LicenseDetail.as_view(), name="license"),
    path("licenses/<uuid:license_id>/tier", tiers.ChangeTier.as_view(), name="license-tier"),
    path(
        "licenses/<uuid:license_id>/tier/preview",
        tiers.PreviewTier.as_view(),
        name="license-tier-preview",
    ),
]
