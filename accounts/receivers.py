"""allauth's facts that belong into the audit trail."""

from typing import Any

from allauth.account import signals as account
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from django.dispatch import Signal, receiver
from django.http import HttpRequest

from accounts import audit, staff_access
from accounts.models import User

ACTIONS: dict[Signal, str] = {
    account.user_logged_in: "user.logged_in",
    account.user_logged_out: "user.logged_out",
    account.password_changed: "user.password_changed",
    account.password_set: "user.password_set",
    account.password_reset: "user.password_reset",
    account.email_changed: "user.email_changed",
    account.email_added: "user.email_added",
    account.email_removed: "user.email_removed",
    mfa.authenticator_added: "user.second_factor_added",
    mfa.authenticator_removed: "user.second_factor_removed",
    mfa.authenticator_reset: "user.second_factor_reset",
}


@receiver(list(ACTIONS))
def record_account_event(
    sender: Any, signal: Signal, request: HttpRequest, user: User | None = None, **kwargs: Any
) -> None:
    if user is not None and user.pk:
        audit.record(action=ACTIONS[signal], actor=user, target=user, request=request)


@receiver(account.email_confirmed)
def record_confirmation(sender: Any, request: HttpRequest, email_address: Any, **kwargs: Any) -> None:
    audit.record(
        action="user.email_confirmed", actor=email_address.user, target=email_address.user, request=request
    )


@receiver(mfa.authenticator_added)
def count_set_up_as_proof(
    sender: Any, request: HttpRequest, user: User, authenticator: Authenticator, **kwargs: Any
) -> None:
    """Whoever has just set up a second factor has shown it: the session need not ask for the next code at once."""
    if request.user == user and authenticator.type in staff_access.FACTORS:
        record_authentication(
            request, user, method="mfa", id=authenticator.pk, type=authenticator.type, reauthenticated=True
        )
