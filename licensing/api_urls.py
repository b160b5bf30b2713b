from django.urls import path

from licensing.api import members, panels, tiers

urlpatterns = [
    path("licenses", members.Licenses.as_view(), name="api-licenses"),
    path("licenses/validate", panels.Validate.as_view(), name="api-license-validate"),
    path("licenses/usage", panels.Usage.as_view(), name="api-license-usage"),
    path("licenses/activate", panels.Activate.as_view(), name="api-license-activate"),
    path("licenses/deactivate", panels.Deactivate.as_view(), name="api-license-deactivate"),
    path("licenses/heartbeat", panels.Heartbeat.as_view(), name="api-license-heartbeat"),
    path("licenses/public-keys", panels.PublicKeys.as_view(), name="api-license-public-keys"),
    path("licenses/<uuid:license_id>", members.LicenseDetail.as_view(), name="api-license"),
    path("licenses/<uuid:license_id>/tier", tiers.ChangeTier.as_view(), name="api-license-tier"),
    path(
        "licenses/<uuid:license_id>/tier/preview",
        tiers.PreviewTier.as_view(),
        name="api-license-tier-preview",
    ),
]
