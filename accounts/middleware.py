"""Middleware of accounts: audit context, known browsers, session and rate limits, the system scope of the admin."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponseBase
from django.urls import get_resolver, reverse
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin

from accounts import audit, email_addresses, known_places, security_events, sessions, staff_access, throttles
from accounts.models import User
from accounts.security_events import Kind
from superagent.foundation import tenancy
from superagent.foundation.middleware import WrappingMiddleware


class AuditContext(WrappingMiddleware):
    """Attributes audit entries to the request, and records 403 responses as security events."""

    def around(self, request: HttpRequest) -> audit.AttributedTo:
        return audit.AttributedTo(request)

    def after(self, request: HttpRequest, response: HttpResponseBase, opened: None) -> HttpResponseBase:
        if response.status_code == HTTPStatus.FORBIDDEN and audit.caller_of(request):
            route = request.resolver_match.route if request.resolver_match else ""
            security_events.note(kind=Kind.ACCESS_REFUSED, detail=f"{request.method} /{route}")
        return response

    async def after_async(
        self, request: HttpRequest, response: HttpResponseBase, opened: None
    ) -> HttpResponseBase:
        return await sync_to_async(self.after, thread_sensitive=False)(
            request, response, opened
        )  # asks Redis


class KnownBrowsers(MiddlewareMixin):
    """Sets the known-browser cookie after a successful login."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if user := getattr(request, "proven_user", None):
            known_places.remember_browser(request, response, user)
        return response


class SessionLimits(MiddlewareMixin):
    """Logs out portal sessions at their lifetime or idle timeout (accounts.sessions)."""

    def process_request(self, request: HttpRequest) -> None:
        user = getattr(request, "user", None)  # API requests have none
        if user is None or not user.is_authenticated:
            return
        now = timezone.now()
        if sessions.is_over(request.session, now=now):
            logout(request)
        else:
            sessions.note_presence(request.session, now=now)


class PageLimits(MiddlewareMixin):
    """Rate limits for anonymous forms by network, as on the API.

    allauth's own limits (ACCOUNT_RATE_LIMITS) are off: they do not count wider networks or say how long to wait.
    """

    LIMITS = {
        "account_login": ("login",),
        "account_signup": ("register", "register_day"),
        "account_email_verification_sent": ("link",),
        "account_reset_password": ("reset",),
        "account_reset_password_from_key": ("link",),
        "account_confirm_email": ("link",),
        "email-change-confirm": ("link",),
        "email-change-answer": ("link",),
        "email-change-undo": ("link",),
        "account-keep": ("link",),
        "mfa_authenticate": ("login",),
        "mfa_login_webauthn": ("passkey",),
        "invitation": ("register", "register_day"),
    }

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponseBase | None:
        match = request.resolver_match
        if request.method != "POST" or match is None or match.view_name not in self.LIMITS:
            return None
        if match.view_name == "account_login" and _is_known(request):
            return None  # guessing.py has a separate limit for a known browser
        try:
            for name in self.LIMITS[match.view_name]:
                throttles.consume_network(name=name, address=audit.client_address(request))
        except throttles.TooManyAttempts as refusal:
            page: Callable[..., HttpResponseBase] = get_resolver().resolve_error_handler(refusal.status)
            return page(request, refusal)
        return None


def _is_known(request: HttpRequest) -> bool:
    if known_places.COOKIE not in request.COOKIES:
        return False
    email = email_addresses.normalized(request.POST.get("login", ""))
    if "\0" in email:
        return False  # the form reports it; PostgreSQL would raise an error
    user = User.objects.filter(email=email).first()
    return user is not None and bool(known_places.browser_of(request, user))


class AdminScope(WrappingMiddleware):
    """Runs admin pages in the system scope, for staff who have access."""

    @contextmanager
    def around(self, request: HttpRequest) -> Iterator[None]:
        is_page = hasattr(request, "user")  # API requests have none: the cheapest question comes first
        is_admin = is_page and request.path_info.startswith(reverse("admin:index"))
        if not is_admin or not staff_access.may_enter(request):
            yield
        else:
            staff_access.note_presence(request)
            with tenancy.system("admin"):
                yield
