from django.urls import path

from metering.api import events, quotas, stream, usage

urlpatterns = [
    path("usage/events", events.Events.as_view(), name="usage-events"),
    path("usage/events/<path:event_id>/void", events.VoidEvent.as_view(), name="usage-event-void"),
    path("usage/stats", usage.Statistics.as_view(), name="usage-stats"),
    path("usage/series", usage.Series.as_view(), name="usage-series"),
    path("usage/requests", usage.Requests.as_view(), name="usage-requests"),
    path("usage/meters", usage.Meters.as_view(), name="usage-meters"),
    path("usage/stream", stream.stream, name="usage-stream"),
    path("quotas", quotas.Quotas.as_view(), name="quotas"),
    path("quotas/check", quotas.QuotaCheck.as_view(), name="quotas-check"),
]
