"""Receivers of allauth's signals: audit entries, known browsers, sessions; a changed second factor ends logins."""

from typing import Any

from allauth.account import signals as account
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from django.contrib.auth.signals import user_logged_in
from django.dispatch import Signal, receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts import access, audit, factors, log_ins, new_places, sessions, staff_access
from accounts.models import User

ACTIONS: dict[Signal, str] = {
    account.user_logged_in: "user.logged_in",
    account.user_logged_out: "user.logged_out",
    account.password_changed: "user.password_changed",
    account.password_set: "user.password_set",
    account.password_reset: "user.password_reset",
    mfa.authenticator_added: "user.second_factor_added",
    mfa.authenticator_removed: "user.second_factor_removed",
    mfa.authenticator_reset: "user.second_factor_reset",
}


@receiver(list(ACTIONS))
def record_account_event(
    sender: Any, signal: Signal, request: HttpRequest, user: User | None = None, **kwargs: Any
) -> None:
    if user is not None and user.pk:
        is_log_in = signal is account.user_logged_in
        shown = {"factors": found} if is_log_in and (found := factors.of_session(request, user)) else {}
        audit.record(action=ACTIONS[signal], actor=user, target=user, request=request, detail=shown)


@receiver([account.user_logged_in, account.password_changed, account.password_set, account.password_reset])
def know_browser(sender: Any, signal: Signal, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """Remember the browser of a user who has logged in or set a password, and mail them if it is new."""
    if signal is account.user_logged_in:
        new_places.tell_of_browser(request=request, user=user)
    request.proven_user = user  # type: ignore[attr-defined]  # for middleware.KnownBrowsers


@receiver(mfa.authenticator_added)
def count_set_up_as_proof(
    sender: Any, request: HttpRequest, user: User, authenticator: Authenticator, **kwargs: Any
) -> None:
    """Count setting up a second factor as verifying it, so that the session does not ask for a code right away."""
    if request.user == user and authenticator.type in staff_access.FACTORS:
        record_authentication(
            request, user, method="mfa", id=authenticator.pk, type=authenticator.type, reauthenticated=True
        )


@receiver([mfa.authenticator_added, mfa.authenticator_removed, mfa.authenticator_reset])
def end_other_log_ins(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """End all other logins when a second factor changes, and withdraw a pending change of address."""
    log_ins.end_all(user=user, now=timezone.now(), because="second factor changed")
    if request.user.is_authenticated and request.user.pk == user.pk:
        request.user.log_in_stamp = user.log_in_stamp  # the same person, perhaps another object
        access.stay_logged_in(request)


@receiver(user_logged_in)
def begin_session(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    sessions.end_beyond_most(user)
    sessions.begin(request.session, now=timezone.now())
