"""Security events, read-only; a job deletes old ones."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts import security_events
from accounts.models import SecurityEvent
from superagent.foundation.admin import ReadOnlyAdmin


@admin.register(SecurityEvent)
class SecurityEventAdmin(ReadOnlyAdmin):
    """Searched by a user's address, by a typed address of nobody, or by network."""

    list_display = ["last_at", "kind", "count", "user", "network", "browser", "detail", "caller", "first_at"]
    list_filter = ["kind"]
    list_select_related = ["user"]
    search_fields = ["user__email", "network__startswith", "=caller", "=detail"]
    date_hierarchy = "last_at"
    ordering = ["-id"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SecurityEvent], search_term: str
    ) -> tuple[QuerySet[SecurityEvent], bool]:
        if "@" in search_term:
            typed: Any = Q(address_digest=security_events.digest(search_term))
            return queryset.filter(typed | Q(user__email__icontains=search_term.strip())), False
        return super().get_search_results(request, queryset, search_term)
