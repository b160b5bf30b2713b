"""Filters of the API's lists."""

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request

from superagent.foundation.problems import FieldError, Invalid

OF_EVERY_LIST = frozenset({"cursor", "limit", "fields"})


class KnownFilters(DjangoFilterBackend):
    """A list with a misspelled filter would be the whole list: an unknown parameter is refused by name."""

    def filter_queryset(self, request: Request, queryset: QuerySet, view: Any) -> QuerySet:
        filterset = self.get_filterset_class(view, queryset)
        known = OF_EVERY_LIST.union(filterset.base_filters if filterset else ())
        unknown = sorted(request.query_params.keys() - known)
        if unknown:
            names = ", ".join(sorted(known))
            raise Invalid(
                f"There is no filter {unknown[0]!r}: choose from {names}.",
                errors=[
                    FieldError(f"/{name}", "unknown_filter", f"Choose from {names}.") for name in unknown
                ],
            )
        filtered: QuerySet = super().filter_queryset(request, queryset, view)
        return filtered
