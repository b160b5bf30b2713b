"""Cursor pagination for portal pages: newest first by UUIDv7, so that the cost does not grow with the depth."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.forms import BaseForm
from django.http import QueryDict

SIZES = (25, 50, 100)


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Any]
    size: int
    next: str | None = None  # older
    previous: str | None = None  # newer


def page(rows: QuerySet[Any], query: QueryDict) -> Page:
    """Returns a page of `rows` for `?cursor=` and `?limit=`; invalid values give the first page of 25."""
    wanted = str(query.get("limit", ""))
    size = int(wanted) if wanted in map(str, SIZES) else SIZES[0]
    is_newer, edge = _parse(str(query.get("cursor", "")))
    if edge is None:
        found = list(rows.order_by("-id")[: size + 1])
        return Page(found[:size], size, next=_older(found[:size]) if len(found) > size else None)
    if is_newer:
        found = list(rows.filter(pk__gt=edge).order_by("id")[: size + 1])
        shown = found[:size][::-1]
        return Page(shown, size, next=_older(shown), previous=_newer(shown) if len(found) > size else None)
    found = list(rows.filter(pk__lt=edge).order_by("-id")[: size + 1])
    shown = found[:size]
    return Page(shown, size, next=_older(shown) if len(found) > size else None, previous=_newer(shown))


def filtered(
    form: BaseForm,
    matching: Callable[[dict[str, Any]], QuerySet[Any]],
    query: QueryDict,
    *,
    always: Collection[str] = (),
) -> dict[str, Any]:
    """What templates/filtered_list.html shows: the page of the rows `matching` the form's values, or all if it is
    invalid. Fields in `always` have a value at any time and are no filter that could be cleared."""
    wanted: dict[str, Any] = getattr(form, "cleaned_data", {}) if form.is_valid() else {}
    is_filtered = any(value for name, value in wanted.items() if name not in always)
    return {"form": form, "page": page(matching(wanted), query), "is_filtered": is_filtered}


def starting_with(row: Any) -> str:
    """Returns the cursor of the page that begins with `row`."""
    return f"older-{UUID(int=row.pk.int + 1)}"


def _parse(cursor: str) -> tuple[bool, UUID | None]:
    kind, _, edge = cursor.partition("-")
    try:
        return kind == "newer", UUID(edge) if kind in ("newer", "older") else None
    except ValueError:
        return False, None


def _older(rows: list[Any]) -> str | None:
    return f"older-{rows[-1].pk}" if rows else None


def _newer(rows: list[Any]) -> str | None:
    return f"newer-{rows[0].pk}" if rows else None
