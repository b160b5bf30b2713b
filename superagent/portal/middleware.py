"""Our own pages for what a browser asked in vain: no such address, no sense, not this method."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import (
    Http404,
    HttpRequest,
    HttpResponseBase,
    HttpResponsePermanentRedirect,
    UnreadablePostError,
)
from django.http.multipartparser import MultiPartParserError
from django.urls import Resolver404, get_resolver, resolve

from superagent.foundation.middleware import WrappingMiddleware, is_api


class AppendSlash(WrappingMiddleware):
    """A page that is asked for without its closing slash is found all the same. The API takes one form only."""

    def after(self, request: HttpRequest, response: HttpResponseBase, opened: None) -> HttpResponseBase:
        path = request.path_info
        is_candidate = (
            response.status_code == HTTPStatus.NOT_FOUND and not path.endswith("/") and not is_api(request)
        )
        if not is_candidate or request.method not in ("GET", "HEAD") or not _is_page(f"{path}/"):
            return response
        query = request.META.get("QUERY_STRING", "")
        return HttpResponsePermanentRedirect(f"{path}/?{query}" if query else f"{path}/")


def _is_page(path: str) -> bool:
    try:
        return resolve(path).url_name != "nothing"
    except Resolver404:
        return False


class ErrorPages(WrappingMiddleware):
    """Our own page for what is not there or makes no sense, in DEBUG too, where Django would show its own."""

    def process_view(self, request: HttpRequest, view: Any, *_: Any) -> HttpResponseBase | None:
        """A query with a NUL, which PostgreSQL's text cannot hold, and a form that is too large or not in UTF-8.

        The API says what.
        """
        if is_api(request):
            return None
        if "%00" in request.META.get("QUERY_STRING", ""):
            return _page_of(request, HTTPStatus.BAD_REQUEST)
        if request.method == "POST" and not getattr(view, "csrf_exempt", False):
            if not _is_in_utf8(request):
                return _page_of(request, HTTPStatus.BAD_REQUEST)
            try:
                request.POST  # noqa: B018  # read here, before the check of its token does
            except (SuspiciousOperation, MultiPartParserError, UnreadablePostError) as exception:
                return _page_of(request, HTTPStatus.BAD_REQUEST, exception)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        if isinstance(exception, Http404):
            return _page_of(request, HTTPStatus.NOT_FOUND, exception)
        if isinstance(exception, BadRequest | SuspiciousOperation):
            return _page_of(request, HTTPStatus.BAD_REQUEST, exception)
        return None


def _is_in_utf8(request: HttpRequest) -> bool:
    """Whether a form's fields can be read (multipart ones say how each is written)."""
    is_plain_form = request.content_type == "application/x-www-form-urlencoded"
    charset = (request.content_params or {}).get("charset", "utf-8")
    return not is_plain_form or charset.lower() in ("utf-8", "utf8")


class MethodNotAllowedPages(WrappingMiddleware):
    """Our own page instead of Django's empty 405. Innermost, so that the page gets what every page gets."""

    def after(self, request: HttpRequest, response: HttpResponseBase, opened: None) -> HttpResponseBase:
        if response.status_code != HTTPStatus.METHOD_NOT_ALLOWED or is_api(request):
            return response
        page = _page_of(request, HTTPStatus.METHOD_NOT_ALLOWED)
        page.headers["Allow"] = response.headers["Allow"]
        return page


def _page_of(
    request: HttpRequest, status: HTTPStatus, exception: Exception | None = None
) -> HttpResponseBase:
    handler: Callable[..., HttpResponseBase] = get_resolver().resolve_error_handler(int(status))
    return handler(request, exception)
