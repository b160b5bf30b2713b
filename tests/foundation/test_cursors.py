"""Cursor pages of the portal: newest first, onward and back, and nonsense is the first page."""

import pytest
from django.db.models import QuerySet
from django.http import QueryDict

from accounts.models import ApiKey
from superagent.foundation import cursors, tenancy
from tests.fixtures.tenants import make_pair

pytestmark = pytest.mark.django_db


def page(rows: QuerySet[ApiKey], cursor: str | None = None, limit: int = 25) -> cursors.Page:
    return cursors.page(rows, QueryDict(f"limit={limit}" + (f"&cursor={cursor}" if cursor else "")))


def test_every_row_is_on_one_page_onward_and_back() -> None:
    pair = make_pair(rows=60)
    with tenancy.tenant(pair.a):
        rows = ApiKey.objects.filter(organization=pair.a)
        expected = list(rows.order_by("-id").values_list("pk", flat=True))
        first = page(rows)
        second = page(rows, first.next)
        third = page(rows, second.next)
        assert [row.pk for each in (first, second, third) for row in each.rows] == expected
        assert (first.previous, third.next) == (None, None)
        assert page(rows, third.previous).rows == second.rows
        assert page(rows, page(rows, third.previous).previous).rows == first.rows
        assert page(rows, cursors.starting_with(second.rows[0])).rows == second.rows


@pytest.mark.parametrize("query", ["cursor=abc", "cursor=older-", "cursor=newer-x", "limit=-1", "limit=9999"])
def test_nonsense_is_the_first_page(query: str) -> None:
    pair = make_pair(rows=30)
    with tenancy.tenant(pair.a):
        rows = ApiKey.objects.filter(organization=pair.a)
        found = cursors.page(rows, QueryDict(query))
        assert (found.size, found.rows) == (25, page(rows).rows)
