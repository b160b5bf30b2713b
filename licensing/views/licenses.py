"""The licenses of an organization: their pages, keys and servers."""

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from allauth.account.decorators import reauthentication_required
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.access import PortalRequest, portal_view
from accounts.forms import RotateForm
from accounts.roles import Scope
from billing.selling import debts
from licensing import activations, issued_keys, overview, validation
from licensing.forms import ServerForm
from licensing.models import License
from licensing.offers import license_offers
from superagent.foundation import clock, cursors
from superagent.foundation.page_addresses import post_only
from superagent.foundation.problems import Refusal

REVEALED, ROTATED = "revealed", "rotated"
SHOWN_SECONDS = {REVEALED: 30, ROTATED: 300}
# In the session: the license whose key its page may show, how it came to be shown, and until when.
SHOWN = "license_key_shown"


@require_safe
@portal_view(scope=Scope.LICENSES_READ)
def licenses(request: PortalRequest) -> HttpResponse:
    now = clock.now(request.organization)
    page = cursors.page(overview.licenses_of(request.organization), request.GET)
    context = {
        "page": page,
        "rows": overview.rows(page.rows, now),
        "now": now,
        "offers": license_offers(),
        "owed": debts.owed(request.organization),
    }
    return render(request, "licensing/licenses.html", context)


def _license(request: PortalRequest, license_id: UUID) -> License:
    """Returns the organization's license. Raises Http404."""
    license_ = overview.licenses_of(request.organization).filter(pk=license_id).first()
    if license_ is None:
        raise Http404
    return license_


@never_cache
@require_safe
@portal_view(scope=Scope.LICENSES_READ)
def detail(request: PortalRequest, license_id: UUID) -> HttpResponse:
    """Show a license. For SHOWN_SECONDS after `reveal` or `rotate` with its key; then the browser reloads the page."""
    license_ = _license(request, license_id)
    kind, seconds = _shown(request, license_)
    now = clock.now(request.organization)
    page = cursors.page(license_.activations.all(), request.GET)
    context: dict[str, Any] = {
        "license": license_,
        "row": overview.row(license_, now),
        "page": page,
        "servers": overview.servers(license_, page.rows, now),
        "taken": validation.activations_taken(license_, now),
        "now": now,
        "seconds": seconds,
        "support_email": settings.SUPPORT_EMAIL,
        "mail_to": f"mailto:{settings.SUPPORT_EMAIL}",
        "rotate_form": RotateForm(),
    }
    if kind:
        context[f"{kind}_key"] = issued_keys.shown_before(license_)
    response = render(request, "licensing/license.html", context)
    if kind == REVEALED:
        response["Refresh"] = f"{seconds}; url={reverse('license', args=[license_id])}"
    return response


@never_cache
@post_only(page="license")
@portal_view(scope=Scope.LICENSES_WRITE)
@reauthentication_required
def reveal(request: PortalRequest, license_id: UUID) -> HttpResponse:
    """Re-authenticate, then redirect to the license's page, which shows the key."""
    license_ = _license(request, license_id)
    try:
        issued_keys.reveal(license_=license_, actor=request.user)
    except Refusal as refusal:
        messages.error(request, f"{refusal.title}. {refusal.detail}")
    else:
        _show(request, license_, REVEALED)
    return redirect("license", license_id)


@never_cache
@post_only(page="license")
@portal_view(scope=Scope.LICENSES_WRITE)
@reauthentication_required
def rotate(request: PortalRequest, license_id: UUID) -> HttpResponse:
    license_ = _license(request, license_id)
    form = RotateForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose how long the old key keeps working."))
        return redirect("license", license_id)
    try:
        issued_keys.rotate(
            license_=license_,
            actor=request.user,
            grace=timedelta(seconds=int(form.cleaned_data["grace_seconds"])),
            now=clock.now(request.organization),
        )
    except Refusal as refusal:
        messages.error(request, f"{refusal.title}. {refusal.detail}")
    else:
        _show(request, license_, ROTATED)
    return redirect("license", license_id)


@post_only(page="license")
@portal_view(scope=Scope.LICENSES_WRITE)
def remove_server(request: PortalRequest, license_id: UUID) -> HttpResponse:
    """Remove the activation of a server that can no longer do so itself."""
    license_ = _license(request, license_id)
    form = ServerForm(request.POST)
    try:
        if not form.is_valid():
            raise Http404
        server = activations.remove(license_=license_, activation_id=form.cleaned_data["activation"])
    except Refusal as refusal:
        messages.error(request, refusal.detail)
    else:
        messages.success(
            request, _("%(server)s was removed. You can activate another server.") % {"server": server}
        )
    return redirect("license", license_id)


def _show(request: HttpRequest, license_: License, kind: str) -> None:
    request.session[SHOWN] = {
        "license": str(license_.pk),
        "kind": kind,
        "until": time.time() + SHOWN_SECONDS[kind],
    }


def _shown(request: HttpRequest, license_: License) -> tuple[str, int]:
    """Returns why the key may be shown now (REVEALED, ROTATED or empty), and for how many more seconds."""
    shown = request.session.get(SHOWN) or {}
    seconds = int(shown.get("until", 0) - time.time())
    if shown.get("license") != str(license_.pk) or seconds <= 0:
        return "", 0
    return shown["kind"], seconds
