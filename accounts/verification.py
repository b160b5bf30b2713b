"""The first proof that a person reads the mail of the address that they signed up with."""

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
    """The user whose address a mailed link confirms. Raises NotFound; VerificationGone when it is too old or used."""
    claim = mail_links.verified_claim(token)
    if claim is None:
        raise VerificationGone("It has expired, or it is not complete. Log in to have another one sent.")
    user_id, email = claim
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        raise NotFound("There is no such account.")
    if user.email != email:
        raise VerificationGone("The account has another address now.")
    if email_addresses.is_confirmed(user):
        raise VerificationGone("The address is confirmed already.")
    return user


def confirm(*, user: User, keep: revocation.Keep, now: datetime) -> User:
    """Note that the user's address is theirs; the caller has made sure that they opened the link themselves.

    Whatever was made before ends, but for what `keep` names: somebody else may have signed up with this address and
    waited for its owner. Doing it again changes nothing.
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
