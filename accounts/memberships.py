"""Who belongs to an organization, in which role. An organization always keeps an owner."""

from datetime import datetime
from http import HTTPStatus
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import audit, email_addresses, notifications, offboarding, roles
from accounts.models import ApiKey, Membership, Organization, User
from accounts.roles import Role
from superagent.foundation import tenancy
from superagent.foundation.prepared import Given, Prepared
from superagent.foundation.problems import Forbidden, Invalid, NotFound, Refusal

MENU_SIZE = 20


class LastOwner(Refusal):
    code = "last_owner"
    title = "An organization needs an owner"


class OwnersOnly(Forbidden):
    code = "owners_only"
    title = "Only an owner can do this"


class RoleNotAllowed(Forbidden):
    code = "role_not_allowed"
    title = "You cannot give or remove this role"


class NoOrganization(Refusal):
    status = HTTPStatus.FORBIDDEN
    code = "no_organization"
    title = "You do not belong to an organization"


class MembershipMenu(NamedTuple):
    """The memberships that the organization switcher lists."""

    shown: list[Membership]
    has_more: bool


class RoleChange(NamedTuple):
    membership: Membership
    revoked_keys: list[ApiKey]


def of_user(user: User) -> QuerySet[Membership]:
    """Returns the user's memberships with their organizations, sorted by name. Call it in the system scope.

    A user may belong to any number: pages show some.
    """
    return _of_user(user)


def _of_user(user: User | Given) -> QuerySet[Membership]:
    found = Membership.objects.filter(user=user).select_related("organization")
    return found.order_by("organization__name", "id")


_of_menu: Prepared[Membership] = Prepared(lambda: _of_user(Given("user"))[: MENU_SIZE + 1])


def menu_of_user(user: User) -> MembershipMenu:
    """Returns the first MENU_SIZE memberships of the user, for the organization switcher."""
    with tenancy.system("a person's organizations are read before one is chosen"):
        found = _of_menu(user=user.pk)
    return MembershipMenu(found[:MENU_SIZE], has_more=len(found) > MENU_SIZE)


def find(user: User, organization_id: UUID | None) -> Membership | None:
    """Returns the user's membership in one organization; without an id, in the default one, else the first joined."""
    with tenancy.system("a person's organization is read before it becomes the scope"):
        found = Membership.objects.filter(user=user).select_related("organization")
        if organization_id is not None:
            return found.filter(organization_id=organization_id).first()
        default = user.default_organization_id
        chosen = found.filter(organization_id=default).first() if default else None
        return chosen or found.order_by("id").first()


def add(*, organization: Organization, user: User, role: Role, now: datetime) -> Membership:
    """Add the user as a member; an existing member keeps their role. Call it in the system scope."""
    membership, created = Membership.objects.get_or_create(
        organization=organization, user=user, defaults={"role": role, "created_at": now}
    )
    if created:
        if user.default_organization_id is None:
            user.default_organization = organization
            user.save(update_fields=["default_organization"])
        audit.record(
            action="member.added", organization=organization, actor=user, target=user, detail={"role": role}
        )
    return membership


def change_role(
    *, organization: Organization, user_id: UUID, role: str, by: User, revoke_keys: bool, now: datetime
) -> RoleChange:
    """Change a member's role, if the role that `by` has at this moment allows it. API keys cannot manage members.

    `revoke_keys` revokes the API keys that the member created and that allow more than the new role. Raises NotFound,
    OwnersOnly, RoleNotAllowed, LastOwner, and Invalid for an unknown role.
    """
    with transaction.atomic():
        membership = _locked(organization, user_id)
        for given in (membership.role, role):
            check_manager_may_give(organization=organization, user=by, role=given)
        before = membership.role
        change = _change(membership, role=role, by=by, revoke_keys=revoke_keys, now=now)
        if role != before and by.pk != user_id:
            _tell(membership, _("%(by)s changed your role in %(organization)s to %(role)s."), by)
        return change


def change_role_by_staff(
    *, organization: Organization, user_id: UUID, role: str, staff: User, now: datetime
) -> RoleChange:
    """Change a member's role on behalf of our company; API keys that allow more than the new role are revoked.

    Raises NotFound, LastOwner.
    """
    with transaction.atomic():
        membership = _locked(organization, user_id)
        return _change(membership, role=role, by=staff, revoke_keys=True, now=now)


def remove(
    *, organization: Organization, user_id: UUID, by: User, revoke_keys: bool, now: datetime
) -> list[ApiKey]:
    """Remove a member; everybody may leave. Returns the API keys that were revoked.

    API keys belong to the organization and keep working; with `revoke_keys`, those that the member created are revoked.
    Raises NotFound, OwnersOnly, RoleNotAllowed, LastOwner.
    """
    with transaction.atomic():
        membership = _locked(organization, user_id)
        is_leaving = by.pk == user_id
        if not is_leaving:
            check_manager_may_give(organization=organization, user=by, role=membership.role)
        _keep_an_owner(membership)
        user = membership.user
        membership.delete()
        if user.default_organization_id == organization.pk:
            user.default_organization = None
            user.save(update_fields=["default_organization"])
        audit.record(
            action="member.left" if is_leaving else "member.removed",
            organization=organization,
            actor=by,
            target=user,
            detail={"role": membership.role},
        )
        if not is_leaving:
            _tell(membership, _("%(by)s removed you from %(organization)s. You are no longer a member."), by)
        return offboarding.end_beyond(
            organization=organization, user=user, role=None, by=by, revoke_keys=revoke_keys, now=now
        )


def check_manager_may_give(*, organization: Organization, user: User, role: str) -> None:
    """Lock the organization and check that `user` may add or remove members with `role`.

    Checked under the lock, because the right may just have been taken away. Raises Invalid, OwnersOnly, RoleNotAllowed.
    """
    if role not in Role.values:
        raise Invalid.field("/role", "invalid_choice", f"Choose one of {', '.join(Role.values)}.")
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    giver = Membership.objects.visible_to(organization).filter(user=user).first()
    if giver is not None and roles.may_give(giver.role, role):
        return
    if role == Role.OWNER:
        raise OwnersOnly("Ask an owner of the organization to add or remove owners.")
    raise RoleNotAllowed(f"Your role does not allow you to give or remove the role {Role(role).label}.")


def is_last_owner(membership: Membership) -> bool:
    """Returns whether no other owner could log in. Call it in the organization's scope."""
    if membership.role != Role.OWNER:
        return False
    owners = Membership.objects.filter(
        organization_id=membership.organization_id, role=Role.OWNER, user__is_active=True
    )
    return not owners.exclude(pk=membership.pk).exists()


def _locked(organization: Organization, user_id: UUID) -> Membership:
    """Returns the membership, with the organization locked: the lock guards the rule that an owner remains."""
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    membership = (
        Membership.objects.visible_to(organization)
        .select_related("user", "organization")
        .filter(user_id=user_id)
        .first()
    )
    if membership is None:
        raise NotFound("There is no such member.")
    return membership


def _change(membership: Membership, *, role: str, by: User, revoke_keys: bool, now: datetime) -> RoleChange:
    if membership.role == role:
        return RoleChange(membership, [])
    if membership.role == Role.OWNER:
        _keep_an_owner(membership)
    before, membership.role = membership.role, role
    membership.save(update_fields=["role"])
    organization, user = membership.organization, membership.user
    audit.record(
        action="member.role_changed",
        organization=organization,
        actor=by,
        target=user,
        detail={"from": before, "to": role},
    )
    keys = offboarding.end_beyond(
        organization=organization, user=user, role=role, by=by, revoke_keys=revoke_keys, now=now
    )
    return RoleChange(membership, keys)


def _tell(membership: Membership, sentence: str, by: User) -> None:
    """Mail the member about a change that somebody else made, if their address is confirmed."""
    user, organization = membership.user, membership.organization
    if not email_addresses.is_confirmed(user):
        return
    words = {"by": by.email, "organization": organization.name, "role": Role(membership.role).label}
    notifications.send(
        template="accounts/email/membership_changed",
        to=[user.email],
        context={"what": sentence % words},
        dedupe_key=None,
        organization=organization,
    )


def _keep_an_owner(leaving: Membership) -> None:
    if is_last_owner(leaving):
        raise LastOwner("Make another member an owner first.")
