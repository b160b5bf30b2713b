"""Mails about logins from a browser or network that is new for the account."""

from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, browsers, known_places, notifications, throttles
from accounts.models import User
from superagent.foundation.templatetags.formats import absolute


def tell_of_browser(*, request: HttpRequest, user: User) -> None:
    """Mail the user, unless the browser is known or this login, already in the audit trail, is their first."""
    if known_places.browser_of(request, user) or not known_places.has_logged_in(user, times=2):
        return
    _mail(
        user,
        notice=_("New login to your account from a browser that was not used before"),
        address=audit.client_address(request),
        browser=browsers.name_of(request.META.get("HTTP_USER_AGENT", "")),
        now=timezone.now(),
    )


def tell_of_network(*, user: User, address: str | None, user_agent: str, now: datetime) -> None:
    """Mail the user about an API login from a new network. Call it before the login is in the audit trail.

    Programs send no cookie, so they are recognized by network.
    """
    if address is None or not known_places.has_logged_in(user):
        return
    if known_places.is_known_network(user=user, address=address, now=now):
        return
    _mail(
        user,
        notice=_("New login to your account through the API from a network that was not used before"),
        address=address,
        browser=browsers.name_of(user_agent),
        now=now,
    )


def _mail(user: User, *, notice: str, address: str | None, browser: str, now: datetime) -> None:
    if not throttles.allows(name="mail_new_device", ident=user.email):
        return
    notifications.send(
        template="accounts/email/security_notice",
        to=[user.email],
        context={
            "notice": notice,
            "at": absolute(now),
            "ip_address": address or _("Unknown"),
            "browser": browser or _("Unknown"),
        },
        dedupe_key=None,
    )
