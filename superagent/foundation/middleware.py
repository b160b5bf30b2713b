"""Middleware of the whole house: the request's id and scope, and what only pages need."""

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

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
from superagent.foundation.identifiers import uuid7
from superagent.foundation.page_addresses import READING, page_address

API_PREFIX = "/api/"
REFERENCE_PREFIX = "/api/docs"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def is_api(request: HttpRequest) -> bool:
    """What programs ask. The reference, which is read in a browser, is a page like any other."""
    path = request.path_info
    return path.startswith(API_PREFIX) and not path.startswith(REFERENCE_PREFIX)


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


class RequestContext:
    """Outermost: gives the request its id (a caller's own is kept if it is sane), binds it to the log, and clears the
    tenant scope at both ends, so that nothing leaks from one request to the next on the same thread."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._async_call(request)
        self._open(request)
        try:
            return self._close(request, self.get_response(request))
        finally:
            tenancy.clear()

    async def _async_call(self, request: HttpRequest) -> HttpResponseBase:
        self._open(request)
        try:
            return self._close(request, await self.get_response(request))
        finally:
            tenancy.clear()

    def _open(self, request: HttpRequest) -> None:
        tenancy.clear()
        given = request.META.get("HTTP_X_REQUEST_ID", "")  # request.headers would read them all
        request.request_id = given if _ACCEPTABLE_ID.fullmatch(given) else uuid7().hex  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.request_id)  # type: ignore[attr-defined]

    def _close(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        if is_api(request) or settings.SESSION_COOKIE_NAME in request.COOKIES:
            response.headers.setdefault("Cache-Control", "no-store")  # somebody's own: nothing keeps a copy
        return response


class Compression(GZipMiddleware):
    """Compresses pages and JSON, never a stream: browsers cannot read events out of one gzip member for each chunk.
    Stepped over by an API client that does not take gzip."""

    def __call__(self, request: HttpRequest) -> Any:
        if "gzip" not in request.META.get("HTTP_ACCEPT_ENCODING", "") and is_api(request):
            return self.get_response(request)
        return super().__call__(request)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.streaming:
            return response
        return super().process_response(request, response)


class Cors(CorsMiddleware):
    """Stepped over by requests that no other origin's page sends: their browser would send `Origin`."""

    def __call__(self, request: HttpRequest) -> Any:
        if "HTTP_ORIGIN" not in request.META:
            return self.get_response(request)
        return super().__call__(request)


class PagesEnd:
    """Last in MIDDLEWARE: where `PagesBegin` sends requests of the API."""

    sync_capable = True
    async_capable = True
    newest: "PagesEnd | None" = (
        None  # Django makes the chain from its end, so this is made before its PagesBegin
    )

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        PagesEnd.newest = self
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)


class PagesBegin:
    """From here to `PagesEnd` is for pages: a request of the API goes straight to the end. It has no session, form or
    page, and each layer that it need not pass is 4 µs less."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = self._to_the_end = get_response
        end = PagesEnd.newest
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)
        elif end is not None and not iscoroutinefunction(end.get_response):
            self._to_the_end = end.get_response

    def __call__(self, request: HttpRequest) -> Any:
        if is_api(request):
            return self._to_the_end(request)
        return self.get_response(request)


def pages_only(middleware: type) -> type:
    """`middleware`, stepped over by API requests, which have no session, form or page: half the cost of a request."""

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
    """Leads back to a page after the log-in, never to an address that only takes a POST, and says that a form that was
    sent has changed nothing."""

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
