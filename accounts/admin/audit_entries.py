"""The audit trail, which nobody can change."""

from django.contrib import admin

from accounts.models import AuditEntry
from superagent.foundation.admin import ReadOnlyAdmin


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ["at", "actor_label", "action", "organization", "target_label", "ip_address"]
    list_filter = ["action"]
    list_select_related = ["organization"]
    search_fields = [
        "actor_label",
        "target_label",
        "=target_id",
        "=request_id",
        "=ip_address",
        "organization__name",
    ]
    date_hierarchy = "at"
    ordering = ["-id"]
