from django.urls import path

from licensing.views import buying, licenses, subscription

urlpatterns = [
    path("licenses/", licenses.Licenses.as_view(), name="licenses"),
    path("licenses/buy/<slug:product>/", buying.Buy.as_view(), name="license-buy"),
    path("licenses/<uuid:license_id>/", licenses.LicenseDetail.as_view(), name="license"),
    path("licenses/<uuid:license_id>/reveal/", licenses.Reveal.as_view(), name="license-reveal"),
    path("licenses/<uuid:license_id>/rotate/", licenses.Rotate.as_view(), name="license-rotate"),
    path(
        "licenses/<uuid:license_id>/remove-server/",
        licenses.RemoveServer.as_view(),
        name="license-remove-server",
    ),
    # By subscription, so that the list of subscriptions can lead here too.
    path(
        "licenses/subscriptions/<uuid:subscription_id>/cancel/",
        subscription.Cancel.as_view(),
        name="license-cancel",
    ),
    path(
        "licenses/subscriptions/<uuid:subscription_id>/resume/",
        subscription.Resume.as_view(),
        name="license-resume",
    ),
    path(
        "licenses/subscriptions/<uuid:subscription_id>/tiers/",
        subscription.Tiers.as_view(),
        name="license-tiers",
    ),
    path(
        "licenses/subscriptions/<uuid:subscription_id>/tiers/<slug:product>/",
        subscription.ChangeTier.as_view(),
        name="license-change",
    ),
]
