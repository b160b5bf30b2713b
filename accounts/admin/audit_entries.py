"""The audit trail, read-only."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from accounts.admin.facts import OfCustomers, customers
from accounts.models import AuditEntry, User


@admin.register(AuditEntry)
class AuditEntryAdmin(OfCustomers):
    """Searched by customer, by person (as actor or target), or by action."""

    list_display = ["at", "actor_label", "action", "organization", "target_label", "reason", "ip_address"]
    search_fields = ["=action", "=target_id", "=request_id", "=ip_address"]
    search_help_text = gettext_lazy(
        "A person's email, an action such as user.rights_changed, or the id of a target. Or a customer by email, id "
        "or start of the name, followed by an exact value."
    )

    @admin.display(description=gettext_lazy("reason"))
    def reason(self, entry: AuditEntry) -> str:
        return str(entry.detail.get("reason") or "–")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term or " " in term:
            return super().get_search_results(request, queryset, search_term)
        meant = Q(action=term) | Q(target_id=term) | Q(organization__in=customers(term))
        if person := User.objects.filter(email=term.lower()).first():
            meant |= Q(actor=person) | Q(target_id=str(person.pk))
        return queryset.filter(meant), False
