"""What outlives a member's rights: API keys that they have seen, and invitations that they have sent.

Whoever takes rights away decides about the keys, because programs may depend on them; they are revoked unless that is
refused. Invitations to more than the member may still give are withdrawn in any case: nobody depends on them yet.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from accounts import api_keys, audit, email_addresses, mail_links, notifications, roles
from accounts.models import ApiKey, Invitation, Membership, Organization, User
from accounts.roles import SCOPES_OF_ROLE, Scope


def keys_beyond(*, organization: Organization, user: User, role: str | None, now: datetime) -> list[ApiKey]:
    """Usable keys of which `user` is the maker and which allow more than `role` does; without a role, all of them."""
    allowed = SCOPES_OF_ROLE[role] if role else frozenset()
    made = ApiKey.objects.visible_to(organization).usable(now).filter(created_by=user).order_by("id")
    return [key for key in made if not allowed.issuperset(key.scopes)]


def keys_by_maker(
    *, organization: Organization, users: Sequence[UUID], now: datetime
) -> dict[UUID, list[ApiKey]]:
    """The usable keys of the organization that each of `users` made: one query."""
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
    """End what exceeds the `role` that the member now has (None: is no member any more); returns the revoked keys.

    Runs in the transaction that changes the role, with the organization locked. `by` is who changes it, None for
    staff. Owners and admins are mailed which keys no longer work.
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
            organization=organization, key_id=key.pk, revoked_by=by, now=now, reason=why, tells=False
        )
    if keys:
        _tell_managers(organization, user, keys, has_left=role is None)
    return keys


def tell_of_kept_keys(*, organization: Organization, user: User, now: datetime) -> None:
    """Mail owners and admins which keys of a person who has closed their account still work."""
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
    """Owners and admins; what members have typed is not mailed to an address that may be a stranger's."""
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
        else _("The role of %(person)s in %(organization)s was changed.")
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
