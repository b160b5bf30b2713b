"""The base of every list in the admin: fast whatever the size of its table."""

import re
from collections.abc import Iterable
from typing import Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import BadRequest, ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property

MOST_COUNTED = 10_000
_PARTS_OF_A_DATE = {
    "year": re.compile(r"[1-9]\d{3}"),
    "month": re.compile(r"[1-9]|1[0-2]"),
    "day": re.compile(r"[1-9]|[12]\d|3[01]"),
}


def equal(model: type[Model], paths: Iterable[str], word: str) -> Q:
    """Returns the rows in which a column equals `word`, converted to the column's type; none if it cannot be."""
    found = Q()
    for path in paths:
        first, *others = path.split("__")
        field: Any = model._meta.get_field(first)
        for part in others:
            field = field.related_model._meta.get_field(part)
        try:
            value = field.to_python(word)
            field.run_validators(value)  # an address is known as none by these only
        except ValidationError:
            continue
        found |= Q(**{path: value})
    return found


class CappedPaginator(Paginator):
    """Counts up to MOST_COUNTED rows and offers no page beyond: both would read the whole of a large table."""

    @cached_property
    def count(self) -> int:
        rows = cast(QuerySet[Any], self.object_list)  # the admin pages nothing else
        return rows.order_by()[:MOST_COUNTED].count()


class QuickAdmin(admin.ModelAdmin):
    """A list that answers from indexes and can be filtered only by what it offers.

    `search_fields` with "=" compare typed values, so that the column's index is used; a word that is not a value of the
    column's type is not searched there. Django itself accepts any column of the model as a filter, so staff who may
    view users could guess password hashes letter by letter.
    """

    show_full_result_count = False
    paginator = CappedPaginator

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        path, _, how = lookup.rpartition(LOOKUP_SEP)
        if self.date_hierarchy and path == self.date_hierarchy and how in _PARTS_OF_A_DATE:
            return bool(_PARTS_OF_A_DATE[how].fullmatch(value))
        return lookup in {name for entry in self.get_list_filter(request) for name in self._parameters(entry)}

    def _parameters(self, entry: Any) -> set[str]:
        """The names in a query by which a filter of the list is chosen."""
        if isinstance(entry, type) and issubclass(entry, admin.SimpleListFilter):
            return {str(entry.parameter_name)}
        path = entry if isinstance(entry, str) else entry[0]
        field: Any = get_fields_from_path(self.model, path)[-1]
        if not isinstance(entry, str) and entry[1] is admin.EmptyFieldListFilter:
            return {f"{path}__isempty"}
        if field.is_relation:
            return {f"{path}__{field.target_field.name}__exact", f"{path}__isnull"}
        return {f"{path}__exact", f"{path}__isnull"}

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        fields = list(self.get_search_fields(request))
        exact = [field.removeprefix("=") for field in fields if field.startswith("=")]
        others = [field for field in fields if not field.startswith("=")]
        if not fields:
            return queryset, False
        for word in search_term.split():
            found = equal(self.model, exact, word)
            for field in others:
                found |= Q(**{field if "__startswith" in field else f"{field}__icontains": word})
            queryset = queryset.filter(found) if found else queryset.none()
        return queryset, any("memberships" in field for field in fields)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *more: Any
    ) -> HttpResponse | None:
        """Answers 400 for selected rows that the list never offered: their ids are not ids at all."""
        key = self.opts.pk
        for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                key.to_python(chosen)
            except ValidationError as error:
                raise BadRequest(str(error)) from None
        return super().response_action(request, queryset, *more)


class ReadOnlyAdmin(QuickAdmin):
    """Base for facts: staff can view rows, but not add, change or delete them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LargeList(ReadOnlyAdmin):
    """A table that grows with every request: newest first, by primary key only.

    Filters appear once a search has narrowed it. Searches use indexed columns only.
    """

    ordering = ["-id"]
    sortable_by: ClassVar[Any] = ()
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    filters_of_found: ClassVar[Any] = ()

    def get_list_filter(self, request: HttpRequest) -> Any:
        has_searched = bool(request.GET.get("q", "").strip())
        return [*self.list_filter, *(self.filters_of_found if has_searched else ())]
