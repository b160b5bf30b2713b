"""What every list of the admin is built on: it answers quickly whatever the size of its table."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

MOST_COUNTED = 10_000


class CappedPaginator(Paginator):
    """Counts no further than MOST_COUNTED and offers no page beyond: both would read the whole of a large table."""

    @cached_property
    def count(self) -> int:
        return self.object_list[:MOST_COUNTED].count()


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
            found = self._equal(exact, word)
            for field in others:
                found |= Q(**{field if "__startswith" in field else f"{field}__icontains": word})
            queryset = queryset.filter(found) if found else queryset.none()
        return queryset, any("memberships" in field for field in fields)

    def _equal(self, paths: Iterable[str], word: str) -> Q:
        found = Q()
        for path in paths:
            field = self.opts.get_field(path.split("__")[0])
            for part in path.split("__")[1:]:
                field = field.related_model._meta.get_field(part)  # type: ignore[union-attr]  # a relation
            try:
                found |= Q(**{path: field.to_python(word)})  # type: ignore[union-attr]  # a column
            except ValidationError:
                continue
        return found


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
    sortable_by: Any = ()
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    filters_of_found: Any = ()

    def get_list_filter(self, request: HttpRequest) -> Any:
        return self.filters_of_found if request.GET.get("q", "").strip() else ()
