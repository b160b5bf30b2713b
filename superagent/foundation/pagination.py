"""Cursor pagination of API lists: `{data, next, previous}`, newest first by UUIDv7."""

from typing import Any
from uuid import UUID

from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from superagent.foundation.problems import Invalid

PAGE_SIZE = 25
MAX_PAGE_SIZE = 100
_FIRST_PAGE = Cursor(offset=0, reverse=False, position=None)


class CursorPages(CursorPagination):
    """`?limit=` from 1 to 100 (default 25), `?cursor=` from `next` and `previous`; the cost does not grow with the
    depth.
    """

    ordering = "-id"
    page_size = PAGE_SIZE
    page_size_query_param = "limit"
    max_page_size = MAX_PAGE_SIZE

    def get_page_size(self, request: Request) -> int:
        asked = request.query_params.get("limit")
        if asked is None:
            return PAGE_SIZE
        if not (
            asked.isdecimal() and asked.isascii() and len(asked) <= 3 and 1 <= int(asked) <= MAX_PAGE_SIZE
        ):
            raise Invalid.field("/limit", "invalid", f"Send a number from 1 to {MAX_PAGE_SIZE}.")
        return int(asked)

    def decode_cursor(self, request: Request) -> Any:
        """DRF's, whose position must be an id: nobody but us makes cursors. DRF takes what says nothing for the first
        page; a program that reads on from a damaged cursor would begin anew for ever."""
        try:
            cursor = super().decode_cursor(request)
            if cursor == _FIRST_PAGE and request.query_params[self.cursor_query_param]:
                raise ValueError("it says nothing")
            if cursor is not None and cursor.position is not None:
                UUID(str(cursor.position))
        except (NotFound, ValueError):
            raise Invalid.field(
                "/cursor", "invalid", "Send a cursor from next or previous of an earlier page."
            ) from None
        return cursor

    def get_paginated_response(self, data: Any) -> Response:
        following, previous = self.get_next_link(), self.get_previous_link()
        links = [
            f'<{link}>; rel="{name}"' for name, link in (("next", following), ("prev", previous)) if link
        ]
        headers = {"Link": ", ".join(links)} if links else None
        return Response({"data": data, "next": following, "previous": previous}, headers=headers)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": PAGE_SIZE}
        return [
            {
                "name": "cursor",
                "in": "query",
                "description": "Where the page begins: take the whole address from next or previous.",
                "schema": {"type": "string"},
            },
            {"name": "limit", "in": "query", "description": "Rows on a page.", "schema": limit},
        ]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["data", "next", "previous"],
            "properties": {"data": schema, "next": link, "previous": link},
        }
