"""Sign-up on a page, which looks the same for every address: only the mailbox learns whether it has an account.

Signing up does not log in. The session remembers who signed up, so that the mailed link logs them in there without a
password; for an address that was taken, it remembers an id of nobody (docs/decisions/0027).
"""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.sessions.backends.base import SessionBase

from accounts import email_addresses, notifications, registration, throttles
from accounts.email_addresses import EmailTaken
from accounts.models import User
from superagent.foundation.identifiers import uuid7

_KEY = "signed_up"


@dataclass(frozen=True, slots=True)
class SignUp:
    """A sign-up in this session that is waiting for its confirmation."""

    email: str
    user_id: str  # of the new person; of nobody, where the address was taken


def sign_up(
    *,
    session: SessionBase,
    email: str,
    password: str,
    full_name: str,
    organization_name: str,
    continue_to: str,
    now: datetime,
) -> None:
    """Create a user and mail the link that confirms the address; if it is taken, mail its owner instead.

    Raises Invalid for a weak password.
    """
    email = email_addresses.normalized(email)
    try:
        person = registration.register(
            email=email,
            password=password,
            full_name=full_name,
            organization_name=organization_name,
            now=now,
            continue_to=continue_to,
        )
    except EmailTaken:
        tell_of_account(email=email)
        before = waiting(session)
        is_again = before is not None and before.email == email  # the same person pressed the button twice
        user_id = before.user_id if before and is_again else str(uuid7())
    else:
        user_id = str(person.pk)
    session[_KEY] = {"email": email, "user_id": user_id}


def waiting(session: SessionBase) -> SignUp | None:
    """Returns the session's pending sign-up, if any."""
    found = session.get(_KEY)
    return SignUp(**found) if found else None


def has_signed_up(session: SessionBase, user: User) -> bool:
    """Returns whether `user` signed up in this session."""
    found = waiting(session)
    return found is not None and found.user_id == str(user.pk)


def forget(session: SessionBase) -> None:
    session.pop(_KEY, None)


def mail_again(*, sign_up: SignUp) -> bool:
    """Send the mail of a sign-up again. Returns False if the last one was just sent. The same for a taken address."""
    if not throttles.allows(name="email_link", ident=sign_up.email):
        return False
    user = User.objects.filter(pk=sign_up.user_id, email=sign_up.email, is_active=True).first()
    if user is None or email_addresses.is_confirmed(user):
        tell_of_account(email=sign_up.email)
    else:
        registration.send_verification(user=user, dedupe_key=None)
    return True


def tell_of_account(*, email: str) -> None:
    """Mail `email` that somebody tried to sign up with it, at most once a day."""
    if throttles.allows(name="mail_account_exists", ident=email):
        notifications.send(template="accounts/email/account_exists", to=[email], context={}, dedupe_key=None)
