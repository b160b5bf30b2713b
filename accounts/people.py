"""Persons: what they are called, whether their address is theirs, and the end of their account."""

from datetime import datetime

from django.db import transaction

from accounts import audit, email_addresses, memberships
from accounts.models import Membership, Organization, User
from accounts.roles import Role
from superagent.foundation import tenancy


def has_verified_email(user: User) -> bool:
    """Whether the address by which the user logs in was confirmed."""
    return email_addresses.is_confirmed(user)


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


def close_account(*, user: User, now: datetime) -> None:
    """Leave every organization and deactivate the account: sessions, tokens and log-in end at once.

    Raises memberships.LastOwner when an organization with other members would be left without an owner.
    """
    with tenancy.system("a person leaves all their organizations"), transaction.atomic():
        places = list(
            Membership.objects.filter(user=user).select_related("organization").order_by("organization_id")
        )
        for place in places:
            Organization.objects.select_for_update(no_key=True).get(pk=place.organization_id)
            if place.role == Role.OWNER:
                _hand_over_first(place)
        for place in places:
            audit.record(
                action="member.left",
                organization=place.organization,
                actor=user,
                target=user,
                detail={"role": place.role, "reason": "account closed"},
            )
        user.is_active = False
        user.save(update_fields=["is_active"])
        user.token_families.filter(revoked_at__isnull=True).update(revoked_at=now)
        audit.record(action="user.closed", actor=user, target=user)


def _hand_over_first(place: Membership) -> None:
    others = Membership.objects.filter(organization=place.organization, user__is_active=True).exclude(
        pk=place.pk
    )
    if others.exists() and not others.filter(role=Role.OWNER).exists():
        raise memberships.LastOwner(f"Make another member of {place.organization} an owner first.")
