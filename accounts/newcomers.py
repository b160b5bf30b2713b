"""Sign-up on a page, which is the same for every address: only its mailbox learns whether it has an account.

Nobody is logged in by it. The browser remembers as whom it signed up, and there the mailed link logs in without more;
behind an address that was taken, that is nobody (docs/decisions/0027).
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
    """What a browser remembers of a sign-up whose mail it waits for."""

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
    """Make the person and mail the link that confirms the address; or mail who has it that somebody tried.

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
        is_again = before is not None and before.email == email  # who presses the button twice is no stranger
        user_id = before.user_id if before and is_again else str(uuid7())
    else:
        user_id = str(person.pk)
    session[_KEY] = {"email": email, "user_id": user_id}


def waiting(session: SessionBase) -> SignUp | None:
    """The sign-up that this browser waits with, if any."""
    found = session.get(_KEY)
    return SignUp(**found) if found else None


def has_signed_up(session: SessionBase, user: User) -> bool:
    """Whether `user` is who signed up with this browser."""
    found = waiting(session)
    return found is not None and found.user_id == str(user.pk)


def forget(session: SessionBase) -> None:
    session.pop(_KEY, None)


def mail_again(*, sign_up: SignUp) -> bool:
    """The mail of a sign-up once more; False if that was a moment ago. The answer is the same for a taken address."""
    if not throttles.allows(name="email_link", ident=sign_up.email):
        return False
    user = User.objects.filter(pk=sign_up.user_id, email=sign_up.email, is_active=True).first()
    if user is None or email_addresses.is_confirmed(user):
        tell_of_account(email=sign_up.email)
    else:
        registration.send_verification(user=user, dedupe_key=None)
    return True


def tell_of_account(*, email: str) -> None:
    """Tell the mailbox of `email` that somebody tried to sign up with it, at most once a day."""
    if throttles.allows(name="mail_account_exists", ident=email):
        notifications.send(template="accounts/email/account_exists", to=[email], context={}, dedupe_key=None)
