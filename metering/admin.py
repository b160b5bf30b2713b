"""Meters, and the facts and figures of usage, for staff. Pages run in the system scope (AdminScope)."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.admin.audited import AuditedAdmin, Call, FactsAdmin, FactsInline, ReasonedActions
from accounts.admin.facts import OfCustomers
from metering import models
from metering.aggregations import Aggregation
from metering.request_path import backlog, quarantine
from metering.usage import reconciliation, voids
from superagent.foundation import clock


@admin.register(models.Meter)
class MeterAdmin(AuditedAdmin):
    list_display = ["name", "slug", "unit", "aggregation", "event_name", "value_property", "is_active"]
    list_filter = ["aggregation", "is_active"]
    search_fields = ("slug", "name", "event_name")
    fields = ["slug", "name", "unit", "aggregation", "event_name", "value_property", "is_active"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Programs name the slug; what was recorded is counted by the others."""
        if obj is None:
            return []
        is_unique = obj.aggregation == Aggregation.UNIQUE
        return ["slug", "aggregation", *(["value_property"] if is_unique else [])]


@admin.register(models.Allowance)
class AllowanceAdmin(OfCustomers):
    list_display = ["organization", "meter", "included", "is_hard", "overage_rate", "currency", "updated_at"]
    list_select_related = ["organization", "meter"]
    filters_of_found = ["meter", "is_hard"]


class IsDisproved(admin.SimpleListFilter):
    """Quotas of closed periods that differ from their requests and events."""

    title = _("differs from recorded usage")
    parameter_name = "is_disproved"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Yes"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.exclude(difference=0) if self.value() else queryset


@admin.register(models.Quota)
class QuotaAdmin(ReasonedActions, OfCustomers):
    """Staff correct the figure of a closed period that differs from its requests and events."""

    list_display = [
        "organization",
        "meter",
        "period",
        "used",
        "included",
        "is_hard",
        "late_quantity",
        "difference",
        "is_closed",
    ]
    list_select_related = ["organization", "meter", "period"]
    list_filter = [IsDisproved]
    filters_of_found = ["meter", "is_closed", "is_hard"]
    actions = ["correct"]

    @admin.action(description=_("Bill the difference with the next period"), permissions=["view"])
    def correct(self, request: HttpRequest, queryset: QuerySet[models.Quota]) -> None:
        def call(quota: models.Quota, reason: str) -> bool:
            return reconciliation.correct(quota=quota)

        self.act(request, queryset, permission="metering.change_quota", action="quota.corrected", call=call)


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
class UsageEventAdmin(ReasonedActions, OfCustomers):
    """Staff void what customers may not: events that we recorded, and events that are billed."""

    list_display = ["event_id", "organization", "meter", "quantity", "source", "occurred_at", "is_late"]
    list_select_related = ["organization", "meter"]
    filters_of_found = ["meter", "is_late"]
    search_fields = ("=event_id",)
    actions = ["take_back"]

    @admin.action(description=_("Void (billed usage is credited with the next period)"), permissions=["view"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[models.UsageEvent]) -> None:
        def call(event: models.UsageEvent, reason: str) -> bool:
            return voids.void(
                organization=event.organization,
                source=event.source,
                event_id=event.event_id,
                principal=None,
                now=clock.now(event.organization),
            ).is_new

        self.act(
            request, queryset, permission="metering.add_eventvoid", action="usage_event.taken_back", call=call
        )


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


@admin.register(models.HourlyLevel)
class HourlyLevelAdmin(OfCustomers):
    list_display = ["hour", "organization", "meter", "quantity", "moment", "event_id"]
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


@admin.register(models.SpoolCheckpoint)
class SpoolCheckpointAdmin(FactsAdmin):
    """How far each segment is shipped, and why shipping failed."""

    list_display = ["segment", "failure", "failed_at", "offset", "read_at", "updated_at", "finished_at"]
    list_filter = [("failed_at", admin.EmptyFieldListFilter), ("finished_at", admin.EmptyFieldListFilter)]
    search_fields = ("segment",)
    ordering = ["-updated_at"]
    actions = ["give_up"]

    @admin.action(description=_("Give up unshipped requests (the host is lost)"), permissions=["view"])
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
    """Spool lines that the database refused."""

    list_display = ["quarantined_at", "reason", "segment", "offset", "length", "state"]
    list_filter = ["state"]
    search_fields = ("segment", "reason")
    fields = ["segment", "offset", "length", "text", "reason", "state", "quarantined_at", "resolved_at"]
    ordering = ["-id"]
    actions = ["ship_again", "dismiss"]

    @admin.display(description=_("content"))
    def text(self, line: models.QuarantinedLine) -> str:
        return bytes(line.content).decode(errors="backslashreplace")

    @admin.action(description=_("Record now"), permissions=["view"])
    def ship_again(self, request: HttpRequest, queryset: QuerySet[models.QuarantinedLine]) -> None:
        def call(line: models.QuarantinedLine, reason: str) -> bool:
            return quarantine.ship_again(line=line, now=timezone.now())

        self._act(request, queryset, "quarantined_line.shipped", call)

    @admin.action(description=_("Dismiss (not billed)"), permissions=["view"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[models.QuarantinedLine]) -> None:
        def call(line: models.QuarantinedLine, reason: str) -> bool:
            return quarantine.dismiss(line=line, now=timezone.now())

        self._act(request, queryset, "quarantined_line.dismissed", call)

    def _act(
        self, request: HttpRequest, rows: QuerySet[models.QuarantinedLine], action: str, call: Call
    ) -> None:
        self.act(request, rows, permission="metering.change_quarantinedline", action=action, call=call)
