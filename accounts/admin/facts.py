"""Admin lists of large, growing tables of customers' data."""

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from accounts.models import Organization
from superagent.foundation.admin import LargeList, equal

MOST_CUSTOMERS = 50


class OfCustomers(LargeList):
    """Searched by customer, with which all indexes of these tables begin, and optionally by an exact value."""

    list_select_related: ClassVar[Any] = ["organization"]
    search_fields: ClassVar[Any] = ()  # compared exactly, among the customer's rows
    search_help_text = gettext_lazy(
        "A customer by email, id or start of the name. To find one row, add an exact value."
    )

    def get_search_fields(self, request: HttpRequest) -> Any:
        return self.search_fields or ("=id",)  # without any, Django hides the search box

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
    """Returns the organizations that `text` may mean: an id, a billing or member's email, or the start of a name."""
    meant = Q(name__istartswith=text)
    if "@" in text:
        meant |= Q(email=text.lower()) | Q(memberships__user__email=text.lower())
    if pk := equal(Organization, ["id"], text):
        meant |= pk
    return list(Organization.objects.filter(meant).distinct().order_by("id")[:MOST_CUSTOMERS])
