"""What is said of every request, for operators: one line in the log and one observation in the metrics."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponsePermanentRedirect
from django.http.multipartparser import MultiPartParserError
from django.urls import Resolver404, get_resolver, resolve

from accounts import audit
from superagent import logs, metrics
from superagent.foundation.middleware import is_api

# Asked every few seconds, or a dozen times for each page, and read by nobody.
QUIET = ("/health/", "/metrics", settings.STATIC_URL)
SECRET_ARGUMENTS = frozenset({"key", "token", "secret"})  # parts of paths such as a password reset's link


class Around:
    """A middleware that looks at request and answer together, in both worlds without a hop to another thread."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._async_call(request)
        started = time.perf_counter()
        return self.after(request, self.get_response(request), started)

    async def _async_call(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        return self.after(request, await self.get_response(request), started)

    def after(self, request: HttpRequest, response: HttpResponseBase, started: float) -> HttpResponseBase:
        """The answer to give; `started` is time.perf_counter() of the request's arrival."""
        raise NotImplementedError


class ClosingSlash(Around):
    """A page that is asked for without its closing slash is found all the same. The API takes one form only."""

    def after(self, request: HttpRequest, response: HttpResponseBase, started: float) -> HttpResponseBase:
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


class OwnErrorPages(Around):
    """Our own page for what is not there or makes no sense, in DEBUG too, where Django would show its own."""

    def after(self, request: HttpRequest, response: HttpResponseBase, started: float) -> HttpResponseBase:
        return response

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
            except (SuspiciousOperation, MultiPartParserError) as exception:
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


class MethodNotAllowedPages(Around):
    """Our own page instead of Django's empty 405. Innermost, so that the page gets what every page gets."""

    def after(self, request: HttpRequest, response: HttpResponseBase, started: float) -> HttpResponseBase:
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


class AccessLog(Around):
    """Logs method, path (never the query: it may hold a token), status, duration, from which address and who asked.

    The line is written past structlog, whose processors would cost 60 µs: more than the rest of metering a request.
    """

    def after(self, request: HttpRequest, response: HttpResponseBase, started: float) -> HttpResponseBase:
        _say(request, response, time.perf_counter() - started)
        return response


def _say(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    match = request.resolver_match
    view = (match.view_name or match.route) if match else "unknown"
    metrics.observe_request(request.method or "", view, response.status_code, seconds)
    if not settings.ACCESS_LOG or request.path_info.startswith(QUIET):
        return
    is_secret = match is not None and not SECRET_ARGUMENTS.isdisjoint(match.kwargs)
    path = f"/{match.route}" if match is not None and is_secret else request.path_info
    organization = getattr(request, "organization", None)
    line = {
        "message": "request",
        "method": request.method,
        # A fixed address holds nothing secret, and looking for it would take longer than writing the line.
        "path": path if match is not None and not match.kwargs and not match.args else logs.scrubbed(path),
        "status": response.status_code,
        "duration_ms": round(seconds * 1000, 1),
        "request_id": getattr(request, "request_id", ""),
        "address": audit.client_address(request),
        "caller": audit.caller_of(request) or None,
        "organization": str(organization.pk) if organization is not None else None,
    }
    sys.stderr.write(_readable(line) if settings.DEBUG else _structured(line))


def _structured(line: dict[str, Any]) -> str:
    line |= {"level": "info", "logger": "superagent.access", "timestamp": datetime.now(UTC).isoformat()}
    return json.dumps(line) + "\n"


def _readable(line: dict[str, Any]) -> str:
    took = f"{line['duration_ms']:7.1f} ms"
    return f"{line['method']:6} {line['status']} {took}  {line['path']}  [{line['request_id']}]\n"
