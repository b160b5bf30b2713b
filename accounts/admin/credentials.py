"""API keys and API logins, without their secrets."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy

from accounts import api_keys
from accounts.admin.audited import FactsAdmin, staff_of
from accounts.models import ApiKey, TokenFamily
from superagent.foundation.admin import ReadOnlyAdmin


@admin.register(ApiKey)
class ApiKeyAdmin(FactsAdmin):
    """Searched by prefix or last four characters. The hash is never shown."""

    list_display = [
        "name",
        "masked",
        "organization",
        "status",
        "created_by",
        "last_used_at",
        "expires_at",
        "revoked_at",
    ]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    list_select_related = ["organization", "created_by"]
    search_fields = [
        "prefix__startswith", "=last_four", "name", "created_by__email", "organization__name", "=organization__id",
    ]  # fmt: skip
    date_hierarchy = "created_at"
    exclude = ["key_hash"]
    actions = ["revoke"]

    @admin.action(description=gettext_lazy("Revoke now"), permissions=["view"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        def call(key: ApiKey, reason: str) -> bool:
            if key.revoked_at is not None:
                return False
            api_keys.revoke(
                organization=key.organization,
                key_id=key.pk,
                revoked_by=staff_of(request),
                now=timezone.now(),
            )
            return True

        rows = queryset.select_related("organization")
        self.act(
            request, rows, permission="accounts.change_apikey", action="api_key.revoked_by_staff", call=call
        )


@admin.register(TokenFamily)
class TokenFamilyAdmin(ReadOnlyAdmin):
    list_display = ["user", "ip_address", "user_agent", "created_at", "refreshed_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    list_select_related = ["user"]
    search_fields = ["user__email", "=ip_address"]
    exclude = ["refresh_jti", "password_stamp"]
