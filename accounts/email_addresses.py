"""The email address that a user logs in with: `User.email` and allauth's row for it.

Both are changed here only, together; a foreign key (migration 0011) refuses a transaction that leaves them different.
"""

from collections.abc import Sequence

from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction

from accounts.models import User
from superagent.foundation.prepared import Given, Prepared
from superagent.foundation.problems import FieldError, Refusal


class EmailTaken(Refusal):
    code = "email_taken"
    title = "This email address already has an account"

    def __init__(self, detail: str = "") -> None:
        detail = detail or "Log in, or reset your password if you have forgotten it."
        super().__init__(detail, errors=[FieldError("/email", self.code, detail)])


def normalized(email: str) -> str:
    return email.strip().lower()


def is_confirmed(user: User) -> bool:
    """Returns whether the user's address is confirmed."""
    return bool(_confirmed(user=user.pk, email=user.email))


_confirmed: Prepared[EmailAddress] = Prepared(
    lambda: EmailAddress.objects.filter(user_id=Given("user"), email=Given("email"), verified=True).only(
        "id"
    )[:1]
)


def is_confirmed_by_anyone(email: str) -> bool:
    return EmailAddress.objects.filter(email=normalized(email), verified=True).exists()


def is_taken(email: str) -> bool:
    """Returns whether an account has the address, confirmed or not."""
    email = normalized(email)
    return User.objects.filter(email=email).exists() or EmailAddress.objects.filter(email=email).exists()


def confirmed_by_provider(addresses: Sequence[EmailAddress]) -> EmailAddress | None:
    """Returns the address of a social account to sign up with: the primary one if confirmed, else another confirmed."""
    confirmed = [address for address in addresses if address.verified]
    chosen = next((address for address in confirmed if address.primary), next(iter(confirmed), None))
    if chosen is None:
        return None
    return EmailAddress(email=normalized(chosen.email), primary=True, verified=True)


def give(*, user: User, email: str) -> None:
    """Make `email`, which the user has confirmed, their address. Raises EmailTaken if another account has it."""
    try:
        with transaction.atomic():
            EmailAddress.objects.filter(user=user).delete()
            User.objects.filter(pk=user.pk).update(email=email)
            EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
    except IntegrityError:
        raise EmailTaken from None
    user.email = email


def release(*, user: User) -> None:
    """Remove the address from a closed account, so that it can be used to sign up again."""
    with transaction.atomic():
        EmailAddress.objects.filter(user=user).delete()
        user.email = _released(user)
        user.save(update_fields=["email"])


def is_released(user: User) -> bool:
    return user.email == _released(user)


def _released(user: User) -> str:
    return f"{user.pk}@closed.invalid"  # RFC 2606: no mail can ever reach it
