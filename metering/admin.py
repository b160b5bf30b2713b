"""Meters, and the facts and figures of usage, for staff. Pages run in the system scope (AdminScope)."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.admin.audited import AuditedAdmin, Call, FactsAdmin
from metering import backlog, models, quarantine
from superagent.foundation.admin import ReadOnlyAdmin


@admin.register(models.Meter)
class MeterAdmin(AuditedAdmin):
    list_display = ["name", "slug", "unit", "event_name", "value_property", "is_active"]
    list_filter = ["is_active"]
    search_fields = ("slug", "name", "event_name")
    fields = ["slug", "name", "unit", "event_name", "value_property", "is_active"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["slug"] if obj else []  # programs name it


class FactAdmin(ReadOnlyAdmin):
    """Large tables: no counting, no joins but those of the list."""

    list_select_related = ["organization"]
    search_fields = ("=organization__id", "organization__name")
    list_per_page = 50


@admin.register(models.Allowance)
class AllowanceAdmin(FactAdmin):
    list_display = ["organization", "meter", "included", "is_hard", "overage_rate", "currency", "updated_at"]
    list_select_related = ["organization", "meter"]
    list_filter = ["meter", "is_hard"]
    ordering = ["-id"]


@admin.register(models.Quota)
class QuotaAdmin(FactAdmin):
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
    list_filter = ["meter", "is_closed", "is_hard"]
    ordering = ["-id"]


class RatedLineInline(admin.TabularInline):
    model = models.RatedLine
    fk_name = "period"
    fields = ("meter", "kind", "about", "quantity", "rate", "amount", "currency", "rated_at")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("meter", "about")


@admin.register(models.UsagePeriod)
class UsagePeriodAdmin(FactAdmin):
    list_display = ["organization", "start", "end", "closed_at"]
    list_filter = [("closed_at", admin.EmptyFieldListFilter)]
    date_hierarchy = "start"
    inlines = [RatedLineInline]
    ordering = ["-start", "-id"]


@admin.register(models.UsageEvent)
class UsageEventAdmin(FactAdmin):
    list_display = ["event_id", "organization", "meter", "quantity", "source", "occurred_at", "is_late"]
    list_select_related = ["organization", "meter"]
    list_filter = ["meter", "is_late"]
    search_fields = ("=event_id", "=organization__id")
    ordering = ["-id"]


@admin.register(models.RequestRecord)
class RequestRecordAdmin(FactAdmin):
    list_display = ["started_at", "organization", "method", "endpoint", "status", "duration_ms", "is_counted"]
    list_filter = ["method", "is_counted"]
    search_fields = ("=request_id", "=organization__id")
    ordering = ["-id"]


@admin.register(models.UsageRollup)
class UsageRollupAdmin(FactAdmin):
    list_display = ["hour", "organization", "meter", "quantity", "event_count"]
    list_select_related = ["organization", "meter"]
    list_filter = ["meter"]
    date_hierarchy = "hour"
    ordering = ["-hour", "-id"]


@admin.register(models.RequestRollup)
class RequestRollupAdmin(FactAdmin):
    list_display = ["hour", "organization", "method", "endpoint", "status", "count", "counted"]
    date_hierarchy = "hour"
    ordering = ["-hour", "-id"]


@admin.register(models.QuotaAlert)
class QuotaAlertAdmin(FactAdmin):
    list_display = ["organization", "meter", "threshold_percent", "used", "raised_at"]
    list_select_related = ["organization", "meter"]
    list_filter = ["meter", "threshold_percent"]
    ordering = ["-id"]


@admin.register(models.SpoolCheckpoint)
class SpoolCheckpointAdmin(FactsAdmin):
    """How far each host's requests are recorded, and why not."""

    list_display = ["segment", "offset", "updated_at", "read_at", "failed_at", "failure", "finished_at"]
    list_filter = [("failed_at", admin.EmptyFieldListFilter), ("finished_at", admin.EmptyFieldListFilter)]
    search_fields = ("segment",)
    ordering = ["-updated_at"]
    actions = ["give_up"]

    @admin.action(description=_("The host never comes back: give up what it held"), permissions=["view"])
    def give_up(self, request: HttpRequest, queryset: QuerySet[models.SpoolCheckpoint]) -> None:
        def call(segment: models.SpoolCheckpoint, reason: str) -> bool:
            return backlog.give_up(segment=segment, now=timezone.now())

        self.act(
            request,
            queryset,
            permission="metering.change_spoolcheckpoint",
            action="spool_segment.given_up",
            call=call,
        )


@admin.register(models.QuarantinedLine)
class QuarantinedLineAdmin(FactsAdmin):
    """What the database refused of the spool."""

    list_display = ["quarantined_at", "reason", "segment", "offset", "length", "state"]
    list_filter = ["state"]
    search_fields = ("segment", "reason")
    fields = ["segment", "offset", "length", "text", "reason", "state", "quarantined_at", "resolved_at"]
    ordering = ["-id"]
    actions = ["ship_again", "dismiss"]

    @admin.display(description=_("content"))
    def text(self, line: models.QuarantinedLine) -> str:
        return bytes(line.content).decode(errors="backslashreplace")

    @admin.action(description=_("Record now: the cause is mended"), permissions=["view"])
    def ship_again(self, request: HttpRequest, queryset: QuerySet[models.QuarantinedLine]) -> None:
        def call(line: models.QuarantinedLine, reason: str) -> bool:
            return quarantine.ship_again(line=line, now=timezone.now())

        self._act(request, queryset, "quarantined_line.shipped", call)

    @admin.action(description=_("Dismiss: it is billed to nobody"), permissions=["view"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[models.QuarantinedLine]) -> None:
        def call(line: models.QuarantinedLine, reason: str) -> bool:
            return quarantine.dismiss(line=line, now=timezone.now())

        self._act(request, queryset, "quarantined_line.dismissed", call)

    def _act(
        self, request: HttpRequest, rows: QuerySet[models.QuarantinedLine], action: str, call: Call
    ) -> None:
        self.act(request, rows, permission="metering.change_quarantinedline", action=action, call=call)
