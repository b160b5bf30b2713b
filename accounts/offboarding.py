"""What happens to a member's API keys and invitations when they lose a role or leave.

Whoever takes the rights away decides whether the keys are revoked, because programs may depend on them; the default is
to revoke. Invitations to roles that the member may no longer give are always withdrawn.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from accounts import api_keys, audit, email_addresses, mail_links, notifications, roles
from accounts.models import ApiKey, Invitation, Membership, Organization, User
from accounts.roles import SCOPES_OF_ROLE, Scope


def keys_beyond(*, organization: Organization, user: User, role: str | None, now: datetime) -> list[ApiKey]:
    """Returns the usable keys that `user` created and that allow more than `role` does; all of them without a role."""
    allowed = SCOPES_OF_ROLE[role] if role else frozenset()
    made = ApiKey.objects.visible_to(organization).usable(now).filter(created_by=user).order_by("id")
    return [key for key in made if not allowed.issuperset(key.scopes)]


def keys_by_maker(
    *, organization: Organization, users: Sequence[UUID], now: datetime
) -> dict[UUID, list[ApiKey]]:
    """Returns the usable keys that each of `users` created, in one query."""
    found: dict[UUID, list[ApiKey]] = {}
    made = ApiKey.objects.visible_to(organization).usable(now).filter(created_by__in=users)
    for key in made.order_by("id"):
        found.setdefault(key.created_by_id, []).append(key)
    return found


def end_beyond(
    *,
    organization: Organization,
    user: User,
    role: str | None,
    by: User | None,
    revoke_keys: bool,
    now: datetime,
) -> list[ApiKey]:
    """Withdraw and revoke what exceeds the member's new `role` (None: they left). Returns the revoked keys.

    Call it in the transaction that changes the role, with the organization locked. `by` is the member who changes
    it, None for staff. Owners and admins get a mail that lists the revoked keys.
    """
    for invitation in Invitation.objects.visible_to(organization).open(now).filter(invited_by=user):
        if role is None or not roles.may_give(role, invitation.role):
            invitation.withdraw(now)
            audit.record(
                action="invitation.revoked",
                organization=organization,
                actor=by,
                target=invitation,
                detail={"reason": f"{user.email} may no longer invite"},
            )
    if not revoke_keys:
        return []
    keys = keys_beyond(organization=organization, user=user, role=role, now=now)
    why = f"{user.email} is no longer a member" if role is None else f"{user.email} may no longer do this"
    for key in keys:
        api_keys.revoke(
            organization=organization, key_id=key.pk, revoked_by=by, now=now, reason=why, notifies=False
        )
    if keys:
        _tell_managers(organization, user, keys, has_left=role is None)
    return keys


def tell_of_kept_keys(*, organization: Organization, user: User, now: datetime) -> None:
    """Mail owners and admins the keys that still work after their creator closed the account."""
    keys = keys_beyond(organization=organization, user=user, role=None, now=now)
    context = {
        "person": user.email,
        "organization": organization.name,
        "keys": [str(key) for key in keys],
        "url": mail_links.page("api-keys", organization=organization),
    }
    for manager in _managers(organization) if keys else ():
        notifications.send(
            template="accounts/email/keys_kept",
            to=[manager.user.email],
            context=context,
            dedupe_key=None,
            organization=organization,
        )


def _managers(organization: Organization) -> list[Membership]:
    """Owners and admins with a confirmed address: names that members typed must not reach a stranger's mailbox."""
    managers = Membership.objects.visible_to(organization).filter(
        role__in=roles.roles_with(Scope.ORGANIZATION_WRITE), user__is_active=True
    )
    return [
        manager for manager in managers.select_related("user") if email_addresses.is_confirmed(manager.user)
    ]


def _tell_managers(organization: Organization, user: User, keys: list[ApiKey], *, has_left: bool) -> None:
    reason = (
        _("%(person)s is no longer a member of %(organization)s.")
        if has_left
        else _("%(person)s has a different role in %(organization)s now.")
    )
    context = {
        "reason": reason % {"person": user.email, "organization": organization.name},
        "person": user.email,
        "keys": [str(key) for key in keys],
        "organization": organization.name,
        "url": mail_links.page("api-keys", organization=organization),
    }
    for manager in _managers(organization):
        notifications.send(
            template="accounts/email/keys_revoked",
            to=[manager.user.email],
            context=context,
            dedupe_key=None,
            organization=organization,
        )
