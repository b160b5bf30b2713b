"""The pages that compose every app, and what browsers and crawlers ask of the whole: robots.txt, security.txt."""

from typing import Any, cast

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.staticfiles.storage import staticfiles_storage
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_safe

from accounts import access
from accounts.access import PortalRequest, portal_view
from billing.catalog import plans, pricing
from billing.selling import debts
from licensing.offers import license_offers
from superagent.foundation import charts, clock
from superagent.foundation.page_addresses import fragment
from superagent.portal import dashboard as composition
from superagent.portal import problem_codes, search, styleguide
from superagent.portal.public_pages import public_page

INTERVALS = ("month", "year")


@login_not_required
@require_safe
@public_page(choices={"interval": INTERVALS})
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
    organization = cast(PortalRequest, request).organization
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


@login_not_required
@require_safe
@public_page()
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
