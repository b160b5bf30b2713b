"""Meters, and the facts and figures of usage, for staff. Pages run in the system scope (AdminScope)."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin.audited import AuditedAdmin, FactsInline
from accounts.admin.facts import OfCustomers
from metering import models


@admin.register(models.Meter)
class MeterAdmin(AuditedAdmin):
    list_display = ["name", "slug", "unit", "event_name", "value_property", "is_active"]
    list_filter = ["is_active"]
    search_fields = ("slug", "name", "event_name")
    fields = ["slug", "name", "unit", "event_name", "value_property", "is_active"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["slug"] if obj else []  # programs name it


@admin.register(models.Allowance)
class AllowanceAdmin(OfCustomers):
    list_display = ["organization", "meter", "included", "is_hard", "overage_rate", "currency", "updated_at"]
    list_select_related = ["organization", "meter"]
    filters_of_found = ["meter", "is_hard"]


@admin.register(models.Quota)
class QuotaAdmin(OfCustomers):
    list_display = [
        "organization",
        "meter",
        "period",
        "used",
        "included",
        "is_hard",
        "late_quantity",
        "is_closed",
    ]
    list_select_related = ["organization", "meter", "period"]
    filters_of_found = ["meter", "is_closed", "is_hard"]


class RatedLineInline(FactsInline):
    model = models.RatedLine
    fk_name = "period"
    fields = ("meter", "kind", "about", "quantity", "rate", "amount", "currency", "rated_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("meter", "about")


@admin.register(models.UsagePeriod)
class UsagePeriodAdmin(OfCustomers):
    list_display = ["organization", "start", "end", "closed_at"]
    filters_of_found = [("closed_at", admin.EmptyFieldListFilter)]
    inlines = [RatedLineInline]


@admin.register(models.UsageEvent)
class UsageEventAdmin(OfCustomers):
    list_display = ["event_id", "organization", "meter", "quantity", "source", "occurred_at", "is_late"]
    list_select_related = ["organization", "meter"]
    filters_of_found = ["meter", "is_late"]
    search_fields = ("=event_id",)


@admin.register(models.RequestRecord)
class RequestRecordAdmin(OfCustomers):
    list_display = ["started_at", "organization", "method", "endpoint", "status", "duration_ms", "is_counted"]
    filters_of_found = ["is_counted"]
    search_fields = ("=request_id",)


@admin.register(models.UsageRollup)
class UsageRollupAdmin(OfCustomers):
    list_display = ["hour", "organization", "meter", "quantity", "event_count"]
    list_select_related = ["organization", "meter"]
    filters_of_found = ["meter"]


@admin.register(models.RequestRollup)
class RequestRollupAdmin(OfCustomers):
    list_display = ["hour", "organization", "method", "endpoint", "status", "count", "counted"]


@admin.register(models.QuotaAlert)
class QuotaAlertAdmin(OfCustomers):
    list_display = ["organization", "meter", "threshold_percent", "used", "raised_at"]
    list_select_related = ["organization", "meter"]
    filters_of_found = ["meter"]
