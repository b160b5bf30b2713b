"""Access to the admin, and what a request still lacks for it.

Staff need an allowed network, a login of at most twelve hours with a second factor, and a request within the last half
hour. Dangerous actions ask for re-authentication after ten minutes.
"""

import time
from enum import Enum, auto
from ipaddress import ip_address, ip_network
from urllib.parse import urlencode

from allauth.account import app_settings as allauth_settings
from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import audit

LONGEST_SESSION_SECONDS = 12 * 3600
LONGEST_IDLE_SECONDS = 30 * 60
SEEN_KEY = "admin_seen_at"
SEEN_EVERY_SECONDS = 60  # saves an UPDATE of the session on most requests
FACTORS = {Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN}


class Missing(Enum):
    """What a request lacks for the admin; the first that applies."""

    NETWORK = auto()
    LOG_IN = auto()
    STAFF = auto()
    FRESH_LOG_IN = auto()
    SECOND_FACTOR_SET_UP = auto()
    SECOND_FACTOR = auto()
    PRESENCE = auto()


def missing(request: HttpRequest) -> Missing | None:
    """Returns what the request lacks for the admin, or None."""
    user = request.user
    if not _is_from_allowed_network(request):
        return Missing.NETWORK
    if not user.is_authenticated:
        return Missing.LOG_IN
    if not (user.is_staff and user.is_active):
        return Missing.STAFF
    records = get_authentication_records(request, user)
    now = time.time()
    if now - _logged_in_at(records) > LONGEST_SESSION_SECONDS:
        return Missing.FRESH_LOG_IN
    if settings.ADMIN_SECOND_FACTOR and (lack := _lacking_factor(request, records)):
        return lack
    last_seen = max(_last_proof_at(records), request.session.get(SEEN_KEY, 0))
    if now - last_seen > LONGEST_IDLE_SECONDS:
        return Missing.PRESENCE
    return None


def may_enter(request: HttpRequest) -> bool:
    """Returns whether the request has access to the admin; computed once for each request."""
    known: bool | None = getattr(request, "may_enter_admin", None)
    if known is None:
        known = request.may_enter_admin = missing(request) is None  # type: ignore[attr-defined]  # for the next question
    return known


def note_presence(request: HttpRequest) -> None:
    """Record activity in the admin, for the idle timeout."""
    now = time.time()
    if now - request.session.get(SEEN_KEY, 0) > SEEN_EVERY_SECONDS:
        request.session[SEEN_KEY] = now


def confirm_first(request: HttpRequest) -> HttpResponse | None:
    """Returns a redirect to re-authentication before a dangerous action, None if that was done in the last ten minutes.

    A posted form is lost by it, so call it when the form's page is opened.
    """
    records = get_authentication_records(request, request.user)
    if time.time() - _last_proof_at(records) <= allauth_settings.REAUTHENTICATION_TIMEOUT:
        return None
    if request.method == "POST":
        messages.warning(
            request, _("Nothing was changed. Confirm your identity, then submit the form again.")
        )
    return to_confirm(request, request.get_full_path())


def to_confirm(request: HttpRequest, back: str) -> HttpResponse:
    """Redirect to re-authentication, by the second factor if one is required, and from there to `back`."""
    page = "account_reauthenticate"
    if settings.ADMIN_SECOND_FACTOR:
        has_app = Authenticator.Type.TOTP in _authenticators(request).values()
        page = "mfa_reauthenticate" if has_app else "mfa_reauthenticate_webauthn"
    return HttpResponseRedirect(f"{reverse(page)}?{urlencode({'next': back})}")


def _lacking_factor(request: HttpRequest, records: list[dict]) -> Missing | None:
    """Returns what is missing of a second factor. The one used in this session must still exist."""
    own = _authenticators(request)
    if not FACTORS & set(own.values()):
        return Missing.SECOND_FACTOR_SET_UP
    used = {record.get("id") for record in records if record["method"] == "mfa"}
    return None if used & set(own) else Missing.SECOND_FACTOR


def _authenticators(request: HttpRequest) -> dict[int, str]:
    """Returns the user's authenticators and their types, recovery codes included."""
    return dict(Authenticator.objects.filter(user_id=request.user.pk).values_list("pk", "type"))


def _logged_in_at(records: list[dict]) -> float:
    return max((record["at"] for record in records if not record.get("reauthenticated")), default=0)


def _last_proof_at(records: list[dict]) -> float:
    return max((record["at"] for record in records), default=0)


def _is_from_allowed_network(request: HttpRequest) -> bool:
    if not settings.ADMIN_NETWORKS:
        return True
    address = audit.client_address(request)
    return address is not None and any(
        ip_address(address) in ip_network(network) for network in settings.ADMIN_NETWORKS
    )
