"""User profile: name, time zone, whether the address is confirmed, and the page to continue to after sign-up."""

from datetime import datetime

from django.db import transaction

from accounts import audit, email_addresses
from accounts.models import Organization, User
from superagent.foundation import tenancy
from superagent.foundation.problems import Forbidden


class EmailNotVerified(Forbidden):
    code = "email_not_verified"
    title = "Confirm your email address first"

    def __init__(self) -> None:
        super().__init__(
            "Open the link in the email that we sent you, or request a new one under Your account → Email. "
            "Then try again."
        )


def require_verified(user: User) -> None:
    """Call it before anything that reaches other people, costs money or lasts. Raises EmailNotVerified."""
    if not has_verified_email(user):
        raise EmailNotVerified


def has_verified_email(user: User) -> bool:
    """Returns whether the user's address is confirmed."""
    return email_addresses.is_confirmed(user)


def lock(user: User, *others: User) -> User:
    """Lock the user's organizations, then the user; returns the fresh row.

    `others` are locked too, in one order, so that two users who swap addresses cannot deadlock.
    """
    ids = [user.pk, *(other.pk for other in others)]
    with tenancy.system("a person's organizations are locked before the person"):
        organizations = Organization.objects.filter(memberships__user__in=ids).order_by("pk")
        list(organizations.select_for_update(of=("self",), no_key=True))
        people = User.objects.select_for_update().filter(pk__in=ids).order_by("pk")
        return next(person for person in list(people) if person.pk == user.pk)


def set_time_zone(*, user: User, time_zone: str) -> User:
    """Change the time zone that usage pages show."""
    if user.time_zone != time_zone:
        user.time_zone = time_zone
        user.save(update_fields=["time_zone"])
    return user


def rename(*, user: User, full_name: str) -> User:
    """Change the user's name."""
    if user.full_name != full_name:
        with transaction.atomic():
            user.full_name = full_name
            user.save(update_fields=["full_name"])
            audit.record(action="user.renamed", actor=user, target=user)
    return user


def take_continue_to(*, user: User) -> str:
    """Returns and clears the page to continue to after sign-up; empty if there is none."""
    path = user.continue_to
    if path:
        user.continue_to = ""
        user.save(update_fields=["continue_to"])
    return path


def remember_continue_to(*, user: User, path: str) -> None:
    """Store the page to continue to after the address is confirmed, perhaps in another browser."""
    if user.continue_to != path:
        user.continue_to = path
        user.save(update_fields=["continue_to"])


def end_api_log_ins(*, user: User, now: datetime) -> int:
    """End all API logins of the user. Returns the number of logins."""
    with transaction.atomic():
        count = user.token_families.filter(revoked_at__isnull=True).update(revoked_at=now)
        audit.record(action="user.api_log_ins_ended", actor=user, target=user, detail={"count": count})
    return count
