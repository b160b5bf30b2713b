"""Cursor pages of the API, as `CursorPages` reads and links them."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from superagent.foundation import tenancy
from superagent.foundation.identifiers import uuid7
from superagent.foundation.models import IdempotencyRecord
from superagent.foundation.pagination import PAGE_SIZE, CursorPages
from superagent.foundation.problems import Invalid


def asked(**query: str) -> Request:
    return Request(APIRequestFactory().get("/api/v1/things", query))


@pytest.mark.parametrize(
    "cursor",
    [
        "AAAA",  # base64 of nothing that is known
        "\0",
        " ",
        "\U0001f389",
        b64encode(b"p=").decode(),
        b64encode(b"p=1").decode(),
        b64encode(b"p=2026-01-01").decode(),
        b64encode(b"o=-1").decode(),
        b64encode(b"r=x").decode(),
        b64encode(b"p=01a2014437407 4c4").decode(),
    ],
)
def test_a_damaged_cursor_is_refused_and_not_taken_for_the_first_page(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        CursorPages().decode_cursor(asked(cursor=cursor))
    assert [error.pointer for error in refused.value.errors] == ["/cursor"]


def test_no_cursor_and_an_empty_one_are_the_first_page() -> None:
    assert CursorPages().decode_cursor(asked()) is None
    assert CursorPages().decode_cursor(asked(cursor="")).position is None


@pytest.mark.parametrize(("limit", "size"), [(None, PAGE_SIZE), ("1", 1), ("100", 100)])
def test_a_page_has_the_size_that_is_asked_for(limit: str | None, size: int) -> None:
    assert CursorPages().get_page_size(asked(**({"limit": limit} if limit else {}))) == size


@pytest.mark.parametrize("limit", ["", "0", "-1", "101", "1e1", "\u0665", "9" * 5000])
def test_a_size_out_of_bounds_is_refused(limit: str) -> None:
    with pytest.raises(Invalid) as refused:
        CursorPages().get_page_size(asked(limit=limit))
    assert [error.pointer for error in refused.value.errors] == ["/limit"]


@pytest.mark.django_db
def test_links_lead_through_all_rows_once_and_back() -> None:
    names = [f"key {number}" for number in range(7)]
    owner = uuid7()
    with tenancy.tenant(owner):
        for name in names:
            IdempotencyRecord.objects.create(organization_id=owner, endpoint="POST things", key=name)

    def page(**query: str) -> tuple[list[str], dict[str, Any], str]:
        pages = CursorPages()
        with tenancy.tenant(owner):
            rows = pages.paginate_queryset(IdempotencyRecord.objects.all(), asked(**query, limit="3")) or []
        answer = pages.get_paginated_response([row.key for row in rows])
        return answer.data["data"], answer.data, answer.headers.get("Link", "")

    def cursor_in(link: str) -> str:
        return parse_qs(urlsplit(link).query)["cursor"][0]

    first, links, header = page()
    assert (first, links["previous"]) == (names[:3:-1], None)
    assert header == f'<{links["next"]}>; rel="next"'
    second, links, _ = page(cursor=cursor_in(links["next"]))
    third, ends, _ = page(cursor=cursor_in(links["next"]))
    assert (second, third, ends["next"]) == (names[3:0:-1], names[:1], None)
    back, _, _ = page(cursor=cursor_in(links["previous"]))
    assert back == first
