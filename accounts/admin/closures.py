"""Requests to close an account: pending, withdrawn or carried out. Pages run in the system scope (AdminScope)."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import support
from accounts.admin.acts import Act, ActsAdmin
from accounts.admin.people import MailedReason, may_help
from accounts.models import AccountClosure, User


def _keep(closure: AccountClosure, values: dict[str, Any], by: User) -> str:
    support.keep_account(closure=closure, by=by, reason=values["reason"], now=timezone.now())
    return _("The account of %(person)s stays open. We notified them.") % {"person": closure.user}


class State(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("waiting", _("Waiting")), ("kept", _("Kept")), ("closed", _("Closed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AccountClosure]) -> QuerySet[AccountClosure]:
        match self.value():
            case "waiting":
                return queryset.filter(withdrawn_at=None, closed_at=None)
            case "kept":
                return queryset.filter(withdrawn_at__isnull=False)
            case "closed":
                return queryset.filter(closed_at__isnull=False)
        return queryset


@admin.register(AccountClosure)
class AccountClosureAdmin(ActsAdmin):
    """Requested and withdrawn by users; staff can withdraw one on behalf of a user."""

    list_display = ["user", "asked_at", "closes_at", "withdrawn_at", "closed_at"]
    list_filter = [State]
    list_select_related = ["user"]
    search_fields = ["user__email", "=user__id"]
    fields = ["user", "asked_at", "closes_at", "withdrawn_at", "closed_at"]
    ordering = ["-id"]
    acts = (
        Act(
            "keep",
            gettext_lazy("Keep the account"),
            gettext_lazy(
                "The account stays open. Plans and licenses that were set to end with it still end; the person can "
                "resume them or buy them again."
            ),
            _keep,
            lambda by, closure: closure.is_pending and may_help(by, closure.user),
            MailedReason,
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AccountClosure | None = None) -> bool:
        return False
