from uuid import uuid4

import pytest
from django.core import mail
from django.utils import timezone

from accounts import memberships
from accounts.memberships import LastOwner, OwnersOnly, RoleNotAllowed
from accounts.models import ApiKey, Membership
from accounts.roles import Role
from superagent.foundation import outbox, tenancy
from superagent.foundation.problems import Invalid, NotFound
from tests.accounts.conftest import actions, founded, join, role_of


def test_find_prefers_the_default_organization(acme, owner):
    second = founded("Second", owner)
    assert memberships.find(owner, None).organization == acme
    assert memberships.find(owner, second.pk).organization == second
    owner.default_organization = second
    assert memberships.find(owner, None).organization == second


def test_find_never_gives_another_peoples_organization(acme, globex, owner):
    assert memberships.find(owner, globex.pk) is None


def change(organization, user, role, by, *, revoke_keys=True) -> memberships.RoleChange:
    with tenancy.tenant(organization):
        return memberships.change_role(
            organization=organization,
            user_id=getattr(user, "pk", user),
            role=role,
            by=by,
            revoke_keys=revoke_keys,
            now=timezone.now(),
        )


def remove(organization, user, by, *, revoke_keys=True) -> list[ApiKey]:
    with tenancy.tenant(organization):
        return memberships.remove(
            organization=organization,
            user_id=getattr(user, "pk", user),
            by=by,
            revoke_keys=revoke_keys,
            now=timezone.now(),
        )


def test_change_role(acme, owner, member):
    user = member(Role.VIEWER)
    change(acme, user, Role.ADMIN, join(acme, "second@acme.example", Role.ADMIN))
    assert role_of(user, acme) == Role.ADMIN
    assert actions(acme)[-1] == "member.role_changed"


def test_only_owners_make_and_unmake_owners(acme, owner, member):
    admin, user = member(Role.ADMIN), member(Role.VIEWER)
    with pytest.raises(OwnersOnly):
        change(acme, user, Role.OWNER, admin)
    with pytest.raises(OwnersOnly):
        change(acme, owner, Role.VIEWER, admin)
    with pytest.raises(OwnersOnly):
        remove(acme, owner, admin)


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.BILLING, Role.VIEWER])
def test_who_may_not_manage_members_gives_no_role(acme, owner, member, stranger, role):
    user, other = member(role), join(acme, "other@acme.example", Role.VIEWER)
    for giver in (user, stranger):
        with pytest.raises(RoleNotAllowed):
            change(acme, other, Role.VIEWER, giver)
        with pytest.raises(RoleNotAllowed):
            remove(acme, other, giver)
    assert role_of(other, acme) == Role.VIEWER


def test_staff_may_change_any_role_but_the_last_owners(acme, owner, member, stranger):
    user = member(Role.VIEWER)
    with tenancy.tenant(acme):
        memberships.change_role_by_staff(
            organization=acme, user_id=user.pk, role=Role.ADMIN, staff=stranger, now=timezone.now()
        )
        with pytest.raises(LastOwner):
            memberships.change_role_by_staff(
                organization=acme, user_id=owner.pk, role=Role.ADMIN, staff=stranger, now=timezone.now()
            )
    assert role_of(user, acme) == Role.ADMIN


def test_the_last_owner_stays(acme, owner, member):
    member(Role.ADMIN)
    with pytest.raises(LastOwner):
        change(acme, owner, Role.ADMIN, owner)
    with pytest.raises(LastOwner):
        remove(acme, owner, owner)
    assert role_of(owner, acme) == Role.OWNER


def test_a_closed_account_does_not_count_as_an_owner(acme, owner):
    closed = join(acme, "second@acme.example", Role.OWNER)
    closed.is_active = False
    closed.save()
    with pytest.raises(LastOwner):
        remove(acme, owner, owner)


def test_remove_ends_access_and_the_default(acme, owner, member):
    user = member(Role.DEVELOPER)
    remove(acme, user, owner)
    user.refresh_from_db()
    assert (memberships.find(user, None), user.default_organization_id) == (None, None)
    assert actions(acme)[-1] == "member.removed"


def test_anyone_may_leave(acme, member):
    user = member(Role.VIEWER)
    remove(acme, user, user)
    assert actions(acme)[-1] == "member.left"


def test_unknown_member_and_unknown_role(acme, globex, stranger, owner):
    for user in (uuid4(), stranger):
        with pytest.raises(NotFound):
            change(acme, user, Role.ADMIN, owner)
        with pytest.raises(NotFound):
            remove(acme, user, owner)
    with pytest.raises(Invalid):
        change(acme, owner, "king", owner)


def test_memberships_are_walled(acme, globex):
    with tenancy.tenant(acme):
        assert [membership.organization_id for membership in Membership.objects.all()] == [acme.pk]
    assert not Membership.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_member_is_mailed_what_somebody_else_does_to_the_membership(acme, owner, member):
    """Who was removed found out by a menu that showed another organization."""
    ada = member("developer")
    with tenancy.tenant(acme):
        memberships.change_role(
            organization=acme,
            user_id=ada.pk,
            role=Role.VIEWER,
            by=owner,
            revoke_keys=True,
            now=timezone.now(),
        )
        memberships.remove(organization=acme, user_id=ada.pk, by=owner, revoke_keys=True, now=timezone.now())
    bob = member("billing")
    with tenancy.tenant(acme):  # who leaves knows it
        memberships.remove(organization=acme, user_id=bob.pk, by=bob, revoke_keys=True, now=timezone.now())
    outbox.sweep()
    told = [(sent.to, sent.body) for sent in mail.outbox if sent.subject == "Your membership has changed"]
    assert [to for to, _ in told] == [[ada.email], [ada.email]]
    assert "olga@acme.example changed your role in Acme to Viewer." in told[0][1]
    assert "olga@acme.example removed you from Acme. You are no longer a member." in told[1][1]
