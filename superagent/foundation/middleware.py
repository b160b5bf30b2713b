"""Middleware of the whole product: request id, tenant scope, compression, CORS, and what only pages need."""

import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from corsheaders.middleware import CorsMiddleware
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.middleware import AuthenticationMiddleware, LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.gzip import GZipMiddleware
from django.middleware.locale import LocaleMiddleware
from django.utils.translation import gettext as _

from superagent.foundation import tenancy
from superagent.foundation.identifiers import uuid7_hex
from superagent.foundation.page_addresses import READING, page_address

API_PREFIX = "/api/"
REFERENCE_PREFIX = "/api/docs"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def is_api(request: HttpRequest) -> bool:
    """Returns True for API requests. The API reference, which people read in a browser, is a page."""
    path = request.path_info
    return path.startswith(API_PREFIX) and not path.startswith(REFERENCE_PREFIX)


class DualMiddleware:
    """Base for sync and async chains: async where the rest of the chain is, so that no request changes threads."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Returns the response, or an awaitable of it where the chain is async."""
        return self.get_response(request)


_NOTHING = nullcontext()


class WrappingMiddleware(DualMiddleware):
    """Wraps each request: `around` is open until the response is made, `after` may inspect or replace the response."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._call_async(request)
        with self.around(request) as opened:
            return self.after(request, self.get_response(request), opened)

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        with self.around(request) as opened:
            return await self.after_async(request, await self.get_response(request), opened)

    def around(self, request: HttpRequest) -> AbstractContextManager[Any]:
        """Returns the context manager to enter for the request; what it yields is passed to `after`."""
        return _NOTHING

    def after(self, request: HttpRequest, response: HttpResponseBase, opened: Any) -> HttpResponseBase:
        """Returns the response to send."""
        return response

    async def after_async(
        self, request: HttpRequest, response: HttpResponseBase, opened: Any
    ) -> HttpResponseBase:
        """`after` in an async chain; override it if `after` blocks."""
        return self.after(request, response, opened)


class IdentifiedRequest(HttpRequest):
    """A request inside `RequestContext`. For annotations only."""

    request_id: str


class RequestContext(WrappingMiddleware):
    """Outermost middleware: gives the request its id, binds it to the log, and clears the tenant scope at both ends.

    A valid id sent by the caller is kept. Clearing the scope keeps it from leaking into the next request on the same
    thread.
    """

    def around(self, request: HttpRequest) -> "_NoScope":
        given = request.META.get("HTTP_X_REQUEST_ID", "")  # request.headers would read them all
        request_id = given if _ACCEPTABLE_ID.fullmatch(given) else uuid7_hex()
        cast(IdentifiedRequest, request).request_id = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        return _NO_SCOPE

    def after(self, request: HttpRequest, response: HttpResponseBase, opened: None) -> HttpResponseBase:
        response.headers["X-Request-Id"] = cast(IdentifiedRequest, request).request_id
        if is_api(request) or settings.SESSION_COOKIE_NAME in request.COOKIES:
            response.headers.setdefault("Cache-Control", "no-store")  # somebody's own: nothing keeps a copy
        return response


class _NoScope:
    """Clears the tenant scope when it is entered and when it is left."""

    def __enter__(self) -> None:
        tenancy.clear()

    def __exit__(self, *_: object) -> None:
        tenancy.clear()


_NO_SCOPE = _NoScope()


class Compression(GZipMiddleware):
    """Compresses pages and JSON, but no streams: browsers cannot read events from one gzip member for each chunk.

    Bypassed by API clients that do not accept gzip.
    """

    def __call__(self, request: HttpRequest) -> Any:
        if "gzip" not in request.META.get("HTTP_ACCEPT_ENCODING", "") and is_api(request):
            return self.get_response(request)
        return super().__call__(request)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.streaming:
            return response
        return super().process_response(request, response)


class Cors(CorsMiddleware):
    """Bypassed by requests without `Origin`: no browser sent them from another origin."""

    def __call__(self, request: HttpRequest) -> Any:
        if "HTTP_ORIGIN" not in request.META:
            return self.get_response(request)
        return super().__call__(request)


class ApiBypassEnd(DualMiddleware):
    """Last in MIDDLEWARE: where `ApiBypassBegin` sends API requests."""

    # Django makes the chain from its end, so this is made before its ApiBypassBegin
    newest: "ApiBypassEnd | None" = None

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        ApiBypassEnd.newest = self


class ApiBypassBegin(DualMiddleware):
    """Middleware from here to `ApiBypassEnd` is for pages only; an API request skips it.

    API requests have no session, form or page, and each layer costs 4 µs.
    """

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        end = ApiBypassEnd.newest
        is_sync = end is not None and not self.is_async and not end.is_async
        self._to_the_end = end.get_response if end and is_sync else get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self._to_the_end(request) if is_api(request) else self.get_response(request)


def pages_only(middleware: type) -> type:
    """Returns `middleware`, bypassed by API requests, which have no session, form or page. That halves the cost of a
    request.
    """

    class PagesOnly(middleware):
        def __call__(self, request: HttpRequest) -> Any:
            if is_api(request):
                return self.get_response(request)
            return super().__call__(request)

        if hasattr(middleware, "process_view"):

            def process_view(self, request: HttpRequest, *args: Any) -> Any:
                return None if is_api(request) else super().process_view(request, *args)

    PagesOnly.__name__ = PagesOnly.__qualname__ = f"PagesOnly{middleware.__name__}"
    return PagesOnly


class _LoginRequired(LoginRequiredMiddleware):
    """Returns to a page after login, never to a URL that only accepts a POST, and says that a form was not saved."""

    def handle_no_permission(self, request: HttpRequest, view_func: Any) -> HttpResponseRedirect:
        if request.method not in READING:
            messages.info(
                request, _("You were logged out, and nothing was changed. Log in and press the button again.")
            )
        return redirect_to_login(
            page_address(request), self.get_login_url(view_func), self.get_redirect_field_name(view_func)
        )


Sessions = pages_only(SessionMiddleware)
Locale = pages_only(LocaleMiddleware)
Csrf = pages_only(CsrfViewMiddleware)
Authentication = pages_only(AuthenticationMiddleware)
LoginRequired = pages_only(_LoginRequired)
Messages = pages_only(MessageMiddleware)
Clickjacking = pages_only(XFrameOptionsMiddleware)
ContentSecurityPolicy = pages_only(CSPMiddleware)
