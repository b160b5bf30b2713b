"""Sign-up: creates a user and their organization in one transaction."""

from collections.abc import Callable
from datetime import datetime

from allauth.account.models import EmailAddress
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import (
    audit,
    email_addresses,
    mail_links,
    notifications,
    organizations,
    password_rules,
    throttles,
)
from accounts.email_addresses import EmailTaken
from accounts.models import User
from superagent.foundation import tenancy
from superagent.foundation.problems import FieldError, Invalid


def register(
    *, email: str, password: str, full_name: str, organization_name: str, now: datetime, continue_to: str = ""
) -> User:
    """Create a user with their own organization, and mail a link to confirm the address.

    `continue_to` is the page to open after the confirmation, such as a plan's checkout. Raises EmailTaken, and
    Invalid for a weak password.
    """

    def found(user: User) -> None:
        organizations.create(
            name=organization_name.strip() or default_organization_name(full_name, user.email),
            owner=user,
            now=now,
        )
        send_verification(user=user, dedupe_key=f"verify:{user.pk}:sign-up")

    return create_person(
        email=email,
        password=password,
        full_name=full_name,
        now=now,
        and_then=found,
        continue_to=continue_to,
        organization_name=organization_name,
    )


def create_person(
    *,
    email: str,
    password: str,
    full_name: str,
    now: datetime,
    and_then: Callable[[User], None],
    continue_to: str = "",
    organization_name: str = "",
    has_proven_email: bool = False,
) -> User:
    """Create a user and, in the same transaction, what `and_then` creates for them. Raises EmailTaken, Invalid."""
    email = email_addresses.normalized(email)
    user = User(email=email, full_name=full_name.strip(), created_at=now, continue_to=continue_to)
    _check_password(password, user, organization_name)
    user.set_password(password)  # outside the transaction: hashing takes a quarter of a second
    with tenancy.system("a new person has no organization yet"):
        try:
            with transaction.atomic():
                _save_new(user)
                EmailAddress.objects.create(user=user, email=email, primary=True, verified=has_proven_email)
                audit.record(action="user.registered", actor=user, target=user)
                and_then(user)
        except _Taken:
            raise EmailTaken from None
    return user


def send_verification(*, user: User, dedupe_key: str | None) -> bool:
    """Mail the link that confirms the user's address. Returns False if the address has reached its daily limit.

    The link is created when the mail is sent. The mail has no text that the user typed: the address may not be theirs.
    """
    if not throttles.allows(name="mail_verify", ident=user.email):
        return False
    notifications.send(
        template="accounts/email/verify",
        to=[user.email],
        context={"link": mail_links.to_verify(user)},
        dedupe_key=dedupe_key,
    )
    return True


def default_organization_name(full_name: str, email: str) -> str:
    return (full_name.strip() or email.partition("@")[0])[:150]


class _Taken(Exception):
    pass


def _save_new(user: User) -> None:
    """Save a new user; the unique constraint decides between concurrent sign-ups.

    ON CONFLICT instead of an error, because PostgreSQL's log would quote the values of a failing statement.
    """
    if EmailAddress.objects.filter(email=user.email, verified=True).exists():
        raise _Taken
    User.objects.bulk_create([user], ignore_conflicts=True)
    if not User.objects.filter(pk=user.pk).exists():
        raise _Taken


def _check_password(password: str, user: User, organization_name: str) -> None:
    try:
        validate_password(password, user)
        password_rules.check_context(password, [organization_name])
    except ValidationError as error:
        errors = [
            FieldError("/password", e.code or "invalid", " ".join(e.messages)) for e in error.error_list
        ]
        raise Invalid.fields(errors) from None
