"""The pages that compose every app, and what machines ask of the whole: health, metrics, robots.txt."""

import sys
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.staticfiles.storage import staticfiles_storage
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_safe

from accounts import access, throttles
from accounts.access import PortalRequest, portal_view
from billing import debts, plans, pricing
from licensing.offers import license_offers
from superagent import dashboard as composition
from superagent import health, metrics, problem_codes, search
from superagent.foundation import charts, clock, problems, styleguide
from superagent.foundation.middleware import is_api
from superagent.foundation.page_addresses import fragment, page_address
from superagent.foundation.problems import NotFound, Refusal

INTERVALS = ("month", "year")


@login_not_required
@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    interval = request.GET.get("interval", "month")
    context = _plans(request) | {
        "license_products": license_offers(),
        "interval": interval if interval in INTERVALS else "month",
    }
    return render(request, "landing.html", context)


def _plans(request: HttpRequest) -> dict[str, Any]:
    """Each plan with what its button does at each interval; without choices for a visitor, who signs up first."""
    if not access.open_frame(request):
        return {"plans": [(offer, []) for offer in pricing.plan_offers()]}
    organization = request.organization  # type: ignore[attr-defined]  # set with the frame
    by_interval = [pricing.choices(organization=organization, interval=each) for each in INTERVALS]
    return {
        "plans": [(choices[0].offer, list(choices)) for choices in zip(*by_interval, strict=True)],
        "owed": debts.owed(organization),
        "subscription": plans.subscription_of(organization),
    }


@require_safe
@portal_view()
def dashboard(request: PortalRequest) -> HttpResponse:
    now = clock.now(request.organization)
    hidden = charts.hidden_in(request.GET)
    page = composition.compose(membership=request.membership, now=now, hidden=hidden)
    return render(request, "dashboard.html", {"page": page})


@require_safe
@fragment(page="dashboard")
@portal_view()
def dashboard_live(request: PortalRequest) -> HttpResponse:
    """The parts of the dashboard that follow the calls, for when the stream has told of new figures."""
    now = clock.now(request.organization)
    hidden = charts.hidden_in(request.GET)
    live = composition.compose_live_parts(membership=request.membership, now=now, hidden=hidden)
    return render(request, "dashboard/live.html", {"live": live})


@never_cache
@require_safe
@fragment(page="dashboard")
@portal_view()
def search_records(request: PortalRequest) -> HttpResponse:
    """The options of the command palette (static/js/palette.js) for `?q=`."""
    hits = search.find(membership=request.membership, text=request.GET.get("q", ""))
    return render(request, "frame/palette_hits.html", {"hits": hits})


# --- Errors -----------------------------------------------------------------------------------------------------------


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
    return access.own_path(page_address(request))


# --- For operators ----------------------------------------------------------------------------------------------------


@login_not_required
@never_cache
@require_safe
def health_live(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@login_not_required
@never_cache
@require_safe
def health_ready(request: HttpRequest) -> JsonResponse:
    """200 while the database answers; other parts that do not are named and make it `degraded`."""
    parts = health.report()
    is_ready = all(part.is_well for part in parts if part.is_needed)
    status = "failed" if not is_ready else "ok" if all(part.is_well for part in parts) else "degraded"
    body: dict[str, Any] = {
        "status": status,
        "parts": {
            part.name: {"status": "ok" if part.is_well else "failed", "detail": part.detail} for part in parts
        },
    }
    return JsonResponse(body, status=HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)


@login_not_required
@never_cache
@require_safe
def metrics_page(request: HttpRequest) -> HttpResponse:
    return metrics.answer(request)


# --- For whoever comes by ---------------------------------------------------------------------------------------------


@login_not_required
@require_safe
@cache_control(public=True, max_age=3600)
def problem_pages(request: HttpRequest) -> HttpResponse:
    """What each `code` of a problem document means: the target of its `type`."""
    return render(request, "docs/problems.html", {"problems": problem_codes.every()})


@login_not_required
@require_safe
def style_guide(request: HttpRequest) -> HttpResponse:
    """Every component on one page, while developing."""
    if not settings.DEBUG:
        raise Http404
    return render(request, "styleguide.html", styleguide.context())


@login_not_required
@require_safe
@cache_control(public=True, max_age=86400)
def robots(request: HttpRequest) -> HttpResponse:
    lines = ["User-agent: *", "Disallow: /accounts/", "Disallow: /admin/", "Disallow: /api/v1/", "Allow: /"]
    return _text(lines)


@login_not_required
@require_safe
@cache_control(public=True, max_age=86400)
def security(request: HttpRequest) -> HttpResponse:
    """RFC 9116: where to report a weakness."""
    expires = timezone.now().replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    expires = expires.replace(year=expires.year + 1)
    return _text(
        [
            f"Contact: mailto:{settings.SECURITY_CONTACT}",
            f"Expires: {expires.isoformat().replace('+00:00', 'Z')}",
            "Preferred-Languages: en",
            f"Canonical: {settings.PUBLIC_URL}/.well-known/security.txt",
        ]
    )


@login_not_required
@require_safe
@cache_control(public=True, max_age=86400)
def favicon(request: HttpRequest) -> HttpResponseBase:
    """Browsers ask for it unasked; pages name the SVG themselves."""
    return redirect(staticfiles_storage.url("img/favicon.svg"))


def _text(lines: list[str]) -> HttpResponse:
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")
