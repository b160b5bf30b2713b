"""Permissions of staff: changed by superusers only, never one's own, and mailed to every superuser."""

from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from accounts import audit, people, rights_guard, staff_notices
from accounts.models import User
from superagent.foundation.problems import FieldError, Forbidden, Invalid


def change(
    *,
    person: User,
    is_staff: bool,
    is_superuser: bool,
    groups: Collection[Group],
    permissions: Collection[Permission],
    by: User,
    reason: str,
) -> bool:
    """Set all rights of `person`. Returns whether anything changed.

    Raises Forbidden unless `by` is another superuser, and Invalid for rights without `is_staff` or an unconfirmed
    address.
    """
    with transaction.atomic():
        # Lock all superusers: of two who revoke each other's rights concurrently, only the first succeeds.
        superusers = set(
            User.objects.select_for_update()
            .filter(is_superuser=True, is_active=True)
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        if by.pk not in superusers:
            raise Forbidden("Only superusers can change the permissions of staff.")
        if by.pk == person.pk:
            raise Forbidden("You cannot change your own permissions. Ask another superuser.")
        stored = User.objects.select_for_update().get(pk=person.pk)
        _check(stored, is_staff, is_superuser or bool(groups) or bool(permissions))
        before = of(stored)
        if (stored.is_staff, stored.is_superuser) != (is_staff, is_superuser):
            stored.is_staff, stored.is_superuser = is_staff, is_superuser
            with rights_guard.opened():
                stored.save(update_fields=["is_staff", "is_superuser"])
        stored.groups.set(groups)
        stored.user_permissions.set(permissions)
        changes = _changes(before, of(stored))
        if changes:
            _tell(stored, changes, by, reason)
    return bool(changes)


def of(person: User) -> dict[str, Any]:
    """Returns the rights of a person, for the audit trail and mails."""
    permissions = person.user_permissions.order_by("content_type__app_label", "codename")
    return {
        "staff": person.is_staff,
        "superuser": person.is_superuser,
        "groups": list(person.groups.order_by("name").values_list("name", flat=True)),
        "permissions": [
            f"{app}.{codename}"
            for app, codename in permissions.values_list("content_type__app_label", "codename")
        ],
    }


def _check(person: User, is_staff: bool, has_more: bool) -> None:
    if has_more and not is_staff:
        detail = (
            "Superuser status, groups and permissions are for staff. Tick “staff” too, or remove the others."
        )
        raise Invalid(detail, errors=[FieldError("/is_staff", "invalid", detail)])
    if is_staff and not people.has_verified_email(person):
        detail = f"{person.email} is not confirmed. The person must open the link in the sign-up email first."
        raise Invalid(detail, errors=[FieldError("/is_staff", "unverified_email", detail)])


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {name: {"from": before[name], "to": after[name]} for name in before if before[name] != after[name]}


def _tell(person: User, changes: dict[str, Any], by: User, reason: str) -> None:
    audit.record(
        action="user.rights_changed",
        actor=by,
        target=person,
        detail={"reason": reason, "changes": changes},
    )
    staff_notices.to_superusers(
        subject=f"Rights of {person.email} were changed", by=by, reason=reason, changes=changes, also=person
    )
