"""Changing and resetting passwords, which ends all other logins."""

from datetime import datetime
from http import HTTPStatus

from django.db import transaction

from accounts import (
    email_addresses,
    log_ins,
    mail_links,
    notifications,
    people,
    revocation,
    throttles,
    verification,
)
from accounts.models import User
from superagent.foundation.problems import Refusal


class ResetGone(Refusal):
    status = HTTPStatus.GONE
    code = "password_reset_gone"
    title = "This link no longer works"

    def __init__(self) -> None:
        super().__init__("The account has changed since the link was sent. Request a new one.")


def mail_reset_link(*, email: str) -> None:
    """Mail a reset link to `email` if it has an account, at most a few a day.

    The outbox row is written for every address, so that neither response nor timing reveals who has an account.
    """
    if throttles.allows(name="mail_reset", ident=email):
        notifications.send(
            template="accounts/email/reset_password",
            to=[email],
            context={"link": mail_links.to_reset_password_of_mailbox()},
            dedupe_key=None,
        )


def change(*, user: User, password: str, now: datetime) -> None:
    """Set a new, validated password and end every login; the view keeps its own session."""
    user.set_password(password)  # outside the transaction: hashing takes a quarter of a second
    with transaction.atomic():
        user.save(update_fields=["password"])
        log_ins.end_all(user=user, now=now, because="password changed")


def reset(*, user: User, password: str, now: datetime) -> None:
    """Set a new password for the person who opened a mailed link, which proves that they read the mailbox.

    It confirms an unconfirmed address, too, and revokes earlier access (`verification.confirm`). Raises ResetGone if
    password or address have changed since the link was opened.
    """
    looked_at = (user.email, user.password)
    user.set_password(password)
    with transaction.atomic():
        stored = people.lock(user)
        if (stored.email, stored.password) != looked_at:
            raise ResetGone
        user.save(update_fields=["password"])
        if email_addresses.is_confirmed(stored):
            log_ins.end_all(user=user, now=now, because="password reset")
        else:
            verification.confirm(user=stored, keep=revocation.NOTHING, now=now)
