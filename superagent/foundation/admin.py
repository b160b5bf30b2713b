"""What every list of the admin is built on: it answers quickly whatever the size of its table."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

MOST_COUNTED = 10_000


def equal(model: type[Model], paths: Iterable[str], word: str) -> Q:
    """Rows in which a column equals `word`, as a value of the column's type; empty if it is none of any of them."""
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
    """Counts no further than MOST_COUNTED and offers no page beyond: both would read the whole of a large table."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin pages querysets only
        return rows.order_by()[:MOST_COUNTED].count()


class QuickAdmin(admin.ModelAdmin):
    """`search_fields` with "=" compare typed values, so that the column's index is used; a word that is no value of the
    column's type is not looked for there."""

    show_full_result_count = False
    paginator = CappedPaginator

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


class ReadOnlyAdmin(QuickAdmin):
    """Base for facts: staff look, nobody adds, changes or deletes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LargeList(ReadOnlyAdmin):
    """A table that grows with every request: newest first, in the order of its key and in no other; filters appear once
    a search has made it small. Searched by indexed columns only."""

    ordering = ["-id"]
    sortable_by: ClassVar[Any] = ()
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    filters_of_found: ClassVar[Any] = ()

    def get_list_filter(self, request: HttpRequest) -> Any:
        has_searched = bool(request.GET.get("q", "").strip())
        return [*self.list_filter, *(self.filters_of_found if has_searched else ())]
