"""The one address by which a person logs in: `User.email` and allauth's row of it.

They are changed here only, together; a foreign key (migration 0011) refuses a transaction that leaves them apart.
"""

from collections.abc import Sequence

from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction

from accounts.models import User
from superagent.foundation.problems import FieldError, Refusal


class EmailTaken(Refusal):
    code = "email_taken"
    title = "This e-mail address has an account"

    def __init__(self, detail: str = "") -> None:
        detail = detail or "Log in, or ask for a new password if you have forgotten yours."
        super().__init__(detail, errors=[FieldError("/email", self.code, detail)])


def normalized(email: str) -> str:
    return email.strip().lower()


def is_confirmed(user: User) -> bool:
    """Whether somebody has proven to read the mail of the user's address."""
    return EmailAddress.objects.filter(user_id=user.pk, email=user.email, verified=True).exists()


def is_confirmed_by_anyone(email: str) -> bool:
    return EmailAddress.objects.filter(email=normalized(email), verified=True).exists()


def is_taken(email: str) -> bool:
    """Whether an account has the address, confirmed or not."""
    email = normalized(email)
    return User.objects.filter(email=email).exists() or EmailAddress.objects.filter(email=email).exists()


def confirmed_by_provider(addresses: Sequence[EmailAddress]) -> EmailAddress | None:
    """The one of somebody's addresses at Google or GitHub that an account is made of: confirmed, primary if that is."""
    confirmed = [address for address in addresses if address.verified]
    chosen = next((address for address in confirmed if address.primary), next(iter(confirmed), None))
    if chosen is None:
        return None
    return EmailAddress(email=normalized(chosen.email), primary=True, verified=True)


def give(*, user: User, email: str, is_confirmed: bool) -> None:
    """Make `email` the user's address. Raises EmailTaken when an account has it, also one that is made just now."""
    try:
        with transaction.atomic():
            EmailAddress.objects.filter(user=user).delete()
            User.objects.filter(pk=user.pk).update(email=email)
            EmailAddress.objects.create(user=user, email=email, primary=True, verified=is_confirmed)
    except IntegrityError:
        raise EmailTaken from None
    user.email = email


def release(*, user: User) -> None:
    """Take the address from an account that is closed, so that somebody may sign up with it again."""
    with transaction.atomic():
        EmailAddress.objects.filter(user=user).delete()
        user.email = _released(user)
        user.save(update_fields=["email"])


def is_released(user: User) -> bool:
    return user.email == _released(user)


def _released(user: User) -> str:
    return f"{user.pk}@closed.invalid"  # RFC 2606: no mail can ever reach it
