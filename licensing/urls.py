from django.urls import path

from licensing.views import buying, licenses, subscription

urlpatterns = [
    path("licenses/", licenses.licenses, name="licenses"),
    path("licenses/buy/<slug:product>/", buying.buy, name="license-buy"),
    path("licenses/<uuid:license_id>/", licenses.detail, name="license"),
    path("licenses/<uuid:license_id>/reveal/", licenses.reveal, name="license-reveal"),
    path("licenses/<uuid:license_id>/rotate/", licenses.rotate, name="license-rotate"),
    path(
        "licenses/<uuid:license_id>/remove-server/",
        licenses.remove_server,
        name="license-remove-server",
    ),
    # By subscription, so that the list of subscriptions can lead here too.
    path(
        "licenses/subscriptions/<uuid:subscription_id>/cancel/",
        subscription.cancel,
        name="license-cancel",
    ),
    path(
        "licenses/subscriptions/<uuid:subscription_id>/resume/",
        subscription.resume,
        name="license-resume",
    ),
    path(
        "licenses/subscriptions/<uuid:subscription_id>/tiers/",
        subscription.choose_tier,
        name="license-tiers",
    ),
    path(
        "licenses/subscriptions/<uuid:subscription_id>/tiers/<slug:product>/",
        subscription.change_tier,
        name="license-change",
    ),
]
