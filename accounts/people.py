"""Persons: what they are called, when their days begin, whether their address is theirs, and where they were going at
sign-up."""

from datetime import datetime

from django.db import transaction

from accounts import audit, email_addresses
from accounts.models import Organization, User
from superagent.foundation import tenancy
from superagent.foundation.problems import Forbidden


class EmailNotVerified(Forbidden):
    code = "email_not_verified"
    title = "Confirm your e-mail address first"

    def __init__(self) -> None:
        super().__init__(
            "Open the link in the mail that we sent you, or ask for another one under Your account → E-mail. "
            "Then try again."
        )


def require_verified(user: User) -> None:
    """For what reaches others, costs money or lasts. Raises EmailNotVerified."""
    if not has_verified_email(user):
        raise EmailNotVerified


def has_verified_email(user: User) -> bool:
    """Whether the address by which the user logs in was confirmed."""
    return email_addresses.is_confirmed(user)


def lock(user: User, *others: User) -> User:
    """The person's row, read anew under a lock; before it those of their organizations, as the lock order asks.

    `others` are locked as well, all in one order, so that two who want each other's address do not block each other.
    """
    ids = [user.pk, *(other.pk for other in others)]
    with tenancy.system("a person's organizations are locked before the person"):
        organizations = Organization.objects.filter(memberships__user__in=ids).order_by("pk")
        list(organizations.select_for_update(of=("self",), no_key=True))
        people = User.objects.select_for_update().filter(pk__in=ids).order_by("pk")
        return next(person for person in list(people) if person.pk == user.pk)


def set_time_zone(*, user: User, time_zone: str) -> User:
    """Change in which zone the person's days begin."""
    if user.time_zone != time_zone:
        user.time_zone = time_zone
        user.save(update_fields=["time_zone"])
    return user


def rename(*, user: User, full_name: str) -> User:
    """Change what a person is called."""
    if user.full_name != full_name:
        with transaction.atomic():
            user.full_name = full_name
            user.save(update_fields=["full_name"])
            audit.record(action="user.renamed", actor=user, target=user)
    return user


def take_continue_to(*, user: User) -> str:
    """The page that the person was on the way to at sign-up, told once; empty if there was none."""
    path = user.continue_to
    if path:
        user.continue_to = ""
        user.save(update_fields=["continue_to"])
    return path


def remember_continue_to(*, user: User, path: str) -> None:
    """Keep the page to go on with after the address is confirmed, perhaps in another browser."""
    if user.continue_to != path:
        user.continue_to = path
        user.save(update_fields=["continue_to"])


def end_api_log_ins(*, user: User, now: datetime) -> int:
    """End every log-in of the person through the API; answers how many."""
    with transaction.atomic():
        count = user.token_families.filter(revoked_at__isnull=True).update(revoked_at=now)
        audit.record(action="user.api_log_ins_ended", actor=user, target=user, detail={"count": count})
    return count
