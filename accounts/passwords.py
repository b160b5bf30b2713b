"""Setting a password: whoever knew the one before, or was logged in by it, is out."""

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
        super().__init__("The account was changed in the meantime. Ask for a new link.")


def mail_reset_link(*, email: str) -> None:
    """Mail the link to `email` if it turns out to have an account; no more than a few a day, whoever asks.

    The row is written for every address, so that neither the answer nor its time tells who has an account.
    """
    if throttles.allows(name="mail_reset", ident=email):
        notifications.send(
            template="accounts/email/reset_password",
            to=[email],
            context={"link": mail_links.to_reset_password_of_mailbox()},
            dedupe_key=None,
        )


def change(*, user: User, password: str, now: datetime) -> None:
    """Give the person another password; every log-in but the one that the view keeps ends. The password is valid."""
    user.set_password(password)  # outside of the transaction: it takes a quarter of a second on purpose
    with transaction.atomic():
        user.save(update_fields=["password"])
        log_ins.end_all(user=user, now=now, because="password changed")


def reset(*, user: User, password: str, now: datetime) -> None:
    """Give a new password to whoever opened the link of a mail, which proves that they read it.

    An address that was never confirmed is confirmed by that, and what was made before ends (`verification.confirm`).
    Raises ResetGone when the account has got another password or address since the link was looked at.
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
