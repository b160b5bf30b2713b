"""Browsers and networks that a user has logged in from: browsers by a signed cookie, networks by the audit trail.

Guessing limits caused by others do not apply to them, and a login from an unknown one is mailed to the user. A new
password makes all of them unknown, except the one where it was set.
"""

import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.models import AuditEntry, User
from superagent.foundation import tenancy
from superagent.foundation.networks import networks_of

COOKIE = f"{'__Secure-' if settings.SESSION_COOKIE_SECURE else ''}known_browser"
COOKIE_PATH = "/accounts/"  # where people log in
LIFETIME = timedelta(days=365)
MOST_PEOPLE = 5  # of one browser
NETWORKS_FOR = timedelta(days=90)
MOST_LOG_INS = 200  # that are looked through for a network
LOGGED_IN = "user.logged_in"
_NEW_PASSWORD = frozenset({"user.password_changed", "user.password_set", "user.password_reset"})


def browser_of(request: HttpRequest, user: User) -> str:
    """Returns the id of the browser if `user` has logged in with it before, else an empty text."""
    for user_id, browser, stamp in _people(request):
        if user_id == str(user.pk) and constant_time_compare(stamp, _stamp(user)):
            return browser
    return ""


def remember_browser(request: HttpRequest, response: HttpResponseBase, user: User) -> None:
    """Set the cookie that marks this browser as known for `user`."""
    browser = browser_of(request, user) or secrets.token_urlsafe(9)
    others = [each for each in _people(request) if each[0] != str(user.pk)]
    people = [*others, [str(user.pk), browser, _stamp(user)]][-MOST_PEOPLE:]
    response.set_cookie(
        COOKIE,
        signing.dumps(people, salt=COOKIE),
        max_age=LIFETIME,
        path=COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def is_known_network(*, user: User, address: str | None, now: datetime) -> bool:
    """Returns whether the user has recently logged in from the network of `address`, or set their password there."""
    network = networks_of(address).narrow
    with tenancy.system("a person's logins belong to no organization"):
        entries = list(
            _log_ins(user)
            .filter(at__gt=now - NETWORKS_FOR)
            .values_list("action", "ip_address")[:MOST_LOG_INS]
        )
    for action, ip_address in entries:
        if ip_address and networks_of(ip_address).narrow == network:
            return True
        if action in _NEW_PASSWORD:
            return False
    return False


def has_logged_in(user: User, *, times: int = 1) -> bool:
    """Returns whether the user has ever logged in at least `times` times."""
    with tenancy.system("a person's logins belong to no organization"):
        return len(_log_ins(user).filter(action=LOGGED_IN).values("pk")[:times]) == times


def _log_ins(user: User) -> QuerySet[AuditEntry]:
    entries = AuditEntry.objects.filter(organization=None, target_type="user", target_id=str(user.pk))
    return entries.filter(action__in=[LOGGED_IN, *_NEW_PASSWORD]).order_by("-id")


def _people(request: HttpRequest) -> list[list[str]]:
    """Returns [user id, browser id, stamp] of each user in the cookie; an empty list for an invalid signature."""
    try:
        found = signing.loads(request.COOKIES.get(COOKIE, ""), salt=COOKIE, max_age=LIFETIME)
    except signing.BadSignature:
        return []
    return found if isinstance(found, list) else []


def _stamp(user: User) -> str:
    """Returns a value that changes with the password."""
    return salted_hmac("accounts.known_places", user.password).hexdigest()[:16]
