"""API keys: list, create, rotate, revoke."""

import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from accounts import api_keys, key_traffic
from accounts.access import PortalRequest, portal_view
from accounts.forms import ApiKeyForm, RotateForm
from accounts.models import ApiKey
from accounts.roles import Scope
from superagent.foundation import cursors
from superagent.foundation.page_addresses import post_only
from superagent.foundation.problems import Refusal

FORMS_KEY = "api_key_forms"  # in the session: tokens of forms that were shown and not yet submitted
MAX_FORMS = 5


@portal_view(scope=Scope.KEYS_READ)
def index(request: PortalRequest) -> HttpResponse:
    now = timezone.now()
    shown = "all" if request.GET.get("show") == "all" else "usable"
    keys = ApiKey.objects.visible_to(request.organization).select_related("created_by")
    page = cursors.page(keys.usable(now) if shown == "usable" else keys, request.GET)
    unused_since = now - api_keys.UNUSED_AFTER
    calls = key_traffic.last_day(request.organization, [key.pk for key in page.rows])
    rows = [
        {
            "key": key,
            "is_usable": key.is_usable(now),
            "is_unused": key.is_usable(now) and (key.last_used_at or key.created_at) < unused_since,
            "calls": calls.get(key.pk),
            "rotate_form": RotateForm(auto_id=f"rotate-{key.pk}-%s"),
        }
        for key in page.rows
    ]
    context = {"rows": rows, "page": page, "shown": shown, "now": now, "has_any": bool(rows) or keys.exists()}
    return render(request, "accounts/api_keys.html", context)


@never_cache
@portal_view(scope=Scope.KEYS_WRITE, verified=True)
def create(request: PortalRequest) -> HttpResponse:
    form = ApiKeyForm(request.POST or None, role=request.membership.role)
    if request.method == "POST" and form.is_valid():
        if not _use_form(request):
            messages.info(
                request, _("This form was already submitted. The key that it created is in the list.")
            )
            return redirect("api-keys")
        try:
            key, plain_text = api_keys.create(
                organization=request.organization,
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                created_by=request.user,
                expires_at=form.expires_at(),
                now=timezone.now(),
            )
        except Refusal as refusal:
            form.add_error(None, refusal.detail)
        else:
            return _shown_once(request, key, plain_text)
    return render(request, "accounts/api_key_new.html", {"form": form, "once": _offer_form(request)})


@never_cache
@post_only(page="api-keys")
@portal_view(scope=Scope.KEYS_WRITE, verified=True)
def rotate(request: PortalRequest, key_id: UUID) -> HttpResponse:
    form = RotateForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose how long the old key keeps working."))
        return redirect("api-keys")
    try:
        key, plain_text = api_keys.rotate(
            organization=request.organization,
            key_id=key_id,
            grace=timedelta(seconds=int(form.cleaned_data["grace_seconds"])),
            rotated_by=request.user,
            now=timezone.now(),
        )
    except Refusal as refusal:
        return _refused(request, refusal)
    return _shown_once(request, key, plain_text)


@post_only(page="api-keys")
@portal_view(scope=Scope.KEYS_WRITE)
def revoke(request: PortalRequest, key_id: UUID) -> HttpResponse:
    try:
        key = api_keys.revoke(
            organization=request.organization, key_id=key_id, revoked_by=request.user, now=timezone.now()
        )
    except Refusal as refusal:
        return _refused(request, refusal)
    messages.success(
        request,
        _("The key “%(name)s” was revoked. It can no longer call the API.") % {"name": key.name},
    )
    return redirect("api-keys")


def _shown_once(request: HttpRequest, key: ApiKey, plain_text: str) -> HttpResponse:
    """Returns the page with the key as the response to the POST, because the plain text is never stored."""
    context: dict[str, Any] = {"key": key, "plain_text": plain_text, "replaces": key.rotated_from}
    return render(request, "accounts/api_key_made.html", context)


def _refused(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    if refusal.status == 404:
        return render(request, "accounts/not_found.html", {"refusal": refusal}, status=404)
    messages.error(request, refusal.detail)
    return redirect("api-keys")


def _offer_form(request: HttpRequest) -> str:
    """Returns a single-use token, so that a form submitted twice creates one key."""
    token = secrets.token_urlsafe(12)
    request.session[FORMS_KEY] = [*request.session.get(FORMS_KEY, []), token][-MAX_FORMS:]
    return token


def _use_form(request: HttpRequest) -> bool:
    """Returns whether the form's token was unused, and marks it as used."""
    offered = request.session.get(FORMS_KEY, [])
    token = request.POST.get("once", "")
    if token not in offered:
        return False
    request.session[FORMS_KEY] = [other for other in offered if other != token]
    return True
