"""Confirmation of the address that a user signed up with."""

from datetime import datetime
from http import HTTPStatus

from allauth.account.models import EmailAddress
from django.db import transaction

from accounts import audit, email_addresses, mail_links, notifications, people, revocation
from accounts.models import User
from superagent.foundation.problems import NotFound, Refusal


class VerificationGone(Refusal):
    status = HTTPStatus.GONE
    code = "verification_gone"
    title = "This link no longer works"


def find(token: str) -> User:
    """Returns the user whose address a mailed link confirms. Raises NotFound, VerificationGone."""
    claim = mail_links.verified_claim(token)
    if claim is None:
        raise VerificationGone("It has expired or is incomplete. Log in to get a new one.")
    user_id, email = claim
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        raise NotFound("There is no such account.")
    if user.email != email:
        raise VerificationGone("The account has a different address now.")
    if email_addresses.is_confirmed(user):
        raise VerificationGone("The address is already confirmed.")
    return user


def confirm(*, user: User, keep: revocation.Keep, now: datetime) -> User:
    """Mark the user's address as confirmed. The caller has checked that the user opened the link themselves.

    Revokes all earlier access except `keep`: somebody else may have signed up with this address and waited for its
    owner. Idempotent.
    """
    with transaction.atomic():
        user = people.lock(user)
        if email_addresses.is_confirmed(user):
            return user
        EmailAddress.objects.update_or_create(
            user=user, email=user.email, defaults={"verified": True, "primary": True}
        )
        audit.record(action="user.email_confirmed", actor=user, target=user)
        revocation.revoke_access(user=user, since=None, keep=keep, because="address confirmed", now=now)
        notifications.send(
            template="accounts/email/email_confirmed", to=[user.email], context={}, dedupe_key=None
        )
    return user
