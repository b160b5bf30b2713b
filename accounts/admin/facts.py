"""Lists of what customers' use leaves behind: tables that only ever grow."""

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from accounts.models import Organization
from superagent.foundation.admin import LargeList, equal

MOST_CUSTOMERS = 50


class OfCustomers(LargeList):
    """Searched by customer first, which every index of these tables begins with; then by an exact value, if wanted."""

    list_select_related: ClassVar[Any] = ["organization"]
    search_fields: ClassVar[Any] = ()  # compared exactly, among the rows of the customer
    search_help_text = gettext_lazy(
        "A customer: email, id or the start of the name. To find one row, an exact value after it."
    )

    def get_search_fields(self, request: HttpRequest) -> Any:
        return self.search_fields or ("=id",)  # none would hide the field

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term.strip():
            return queryset, False
        customer, _, value = search_term.strip().rpartition(" ")
        if found := customers(search_term.strip()):
            return queryset.filter(organization__in=found), False
        if customer and (found := customers(customer.strip())):
            return super().get_search_results(request, queryset.filter(organization__in=found), value)
        return queryset.none(), False


def customers(text: str) -> list[Organization]:
    """The organizations that somebody may mean by this: by id, by the email of the bills or of a member, by name."""
    meant = Q(name__istartswith=text)
    if "@" in text:
        meant |= Q(email=text.lower()) | Q(memberships__user__email=text.lower())
    if pk := equal(Organization, ["id"], text):
        meant |= pk
    return list(Organization.objects.filter(meant).distinct().order_by("id")[:MOST_CUSTOMERS])
