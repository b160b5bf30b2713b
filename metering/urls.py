from django.urls import path

from metering import views

urlpatterns = [
    path("usage/", views.usage, name="usage"),
    path("usage/export.csv", views.usage_export, name="usage-export"),
    path("usage/chart.csv", views.usage_chart_export, name="usage-chart-export"),
    path("requests/", views.request_list, name="requests"),
    path("requests/<uuid:record_id>/", views.request_detail, name="request"),
]
