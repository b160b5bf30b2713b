from django.urls import path

from licensing import api

urlpatterns = [
    path("licenses", api.Licenses.as_view(), name="api-licenses"),
    path("licenses/validate", api.Validate.as_view(), name="api-license-validate"),
    path("licenses/usage", api.Usage.as_view(), name="api-license-usage"),
    path("licenses/activate", api.Activate.as_view(), name="api-license-activate"),
    path("licenses/deactivate", api.Deactivate.as_view(), name="api-license-deactivate"),
    path("licenses/heartbeat", api.Heartbeat.as_view(), name="api-license-heartbeat"),
    path("licenses/public-keys", api.PublicKeys.as_view(), name="api-license-public-keys"),
    path("licenses/<uuid:license_id>", api.LicenseDetail.as_view(), name="api-license"),
]
