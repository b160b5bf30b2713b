"""What a browser is shown when a request cannot be answered, and a program, as a problem document."""

import sys
from http import HTTPStatus

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from accounts import access, throttles
from superagent.foundation import problems
from superagent.foundation.middleware import is_api
from superagent.foundation.page_addresses import page_address
from superagent.foundation.problems import NotFound, Refusal


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _error(request, problems.Invalid("The request could not be understood."), "400.html")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The account or its role does not allow it; a page of the portal names the role (accounts.access)."""
    return _error(request, problems.Forbidden(), "403.html")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _error(request, NotFound("There is nothing at this address."), "404.html")


@login_not_required
def nothing(request: HttpRequest) -> HttpResponse:
    """Every address that nothing else answers."""
    raise Http404


def failed(request: HttpRequest) -> HttpResponse:
    """An exception that nobody foresaw. Without a database it is a 503, so that callers try again."""
    refusal = problems.failure_of(sys.exception())
    response = _error(request, refusal, "500.html")
    for name, value in refusal.headers.items():
        response[name] = value
    return response


@login_not_required
def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form that was left open too long, or cookies that the browser does not keep."""
    return _error(request, problems.Forbidden(), "403_csrf.html")


def too_many_attempts(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Of `accounts.throttles`, or of allauth's limits by person, which do not tell the time to wait."""
    refusal = exception if isinstance(exception, throttles.TooManyAttempts) else None
    wait = throttles.in_words(refusal.wait_seconds) if refusal else ""
    response = _error_page(request, HTTPStatus.TOO_MANY_REQUESTS, "429.html", wait=wait)
    for name, value in (refusal.headers if refusal else {}).items():
        response[name] = value
    return response


def method_not_allowed(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """A person seldom comes here: what only takes a POST leads to its page (superagent.foundation.page_addresses)."""
    return _error_page(request, HTTPStatus.METHOD_NOT_ALLOWED, "405.html")


def _error(request: HttpRequest, refusal: Refusal, template: str) -> HttpResponse:
    if is_api(request):
        return problems.json_response(request, refusal)
    return _error_page(request, refusal.status, template)


def _error_page(request: HttpRequest, status: int, template: str, **facts: str) -> HttpResponse:
    """Inside the menu for who is logged in, so that a mistyped address is no way out of the portal."""
    is_inside = status < HTTPStatus.INTERNAL_SERVER_ERROR and access.open_frame(request)
    context = {
        "status": int(status),
        "request_id": getattr(request, "request_id", ""),
        "error_frame": "frame/inside.html" if is_inside else "frame/outside.html",
        "page_address": _page_to_open(request),
    } | facts
    return render(request, template, context, status=status)


def _page_to_open(request: HttpRequest) -> str:
    """Where to start again after a POST that was refused; nothing when the address itself cannot be opened."""
    match = request.resolver_match
    if request.method in ("GET", "HEAD") or match is None or match.url_name == "nothing":
        return ""
    return access.safe_next_url(page_address(request))
