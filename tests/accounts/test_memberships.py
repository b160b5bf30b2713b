from uuid import uuid4

import pytest

from accounts import memberships
from accounts.memberships import LastOwner, OwnersOnly
from accounts.models import Membership
from accounts.roles import Role
from superagent.foundation import tenancy
from superagent.foundation.problems import Invalid, NotFound
from tests.accounts.conftest import actions, founded, join


def test_role_of(acme, owner, stranger):
    assert memberships.role_of(owner, acme) == Role.OWNER
    assert memberships.role_of(stranger, acme) is None


def test_find_prefers_the_default_organization(acme, owner):
    second = founded("Second", owner)
    assert memberships.find(owner, None).organization == acme
    assert memberships.find(owner, second.pk).organization == second
    owner.default_organization = second
    assert memberships.find(owner, None).organization == second


def test_find_never_gives_another_peoples_organization(acme, globex, owner):
    assert memberships.find(owner, globex.pk) is None


def test_change_role(acme, owner, member):
    user = member(Role.VIEWER)
    with tenancy.tenant(acme):
        memberships.change_role(organization=acme, user_id=user.pk, role=Role.ADMIN, by_role=Role.ADMIN)
    assert memberships.role_of(user, acme) == Role.ADMIN
    assert actions(acme)[-1] == "member.role_changed"


@pytest.mark.parametrize("by_role", [Role.ADMIN, None])
def test_only_owners_make_and_unmake_owners(acme, owner, member, by_role):
    user = member(Role.VIEWER)
    with tenancy.tenant(acme):
        with pytest.raises(OwnersOnly):
            memberships.change_role(organization=acme, user_id=user.pk, role=Role.OWNER, by_role=by_role)
        with pytest.raises(OwnersOnly):
            memberships.change_role(organization=acme, user_id=owner.pk, role=Role.VIEWER, by_role=by_role)
        with pytest.raises(OwnersOnly):
            memberships.remove(organization=acme, user_id=owner.pk, by_user=user, by_role=by_role)


def test_the_last_owner_stays(acme, owner, member):
    member(Role.ADMIN)
    with tenancy.tenant(acme):
        with pytest.raises(LastOwner):
            memberships.change_role(organization=acme, user_id=owner.pk, role=Role.ADMIN, by_role=Role.OWNER)
        with pytest.raises(LastOwner):
            memberships.remove(organization=acme, user_id=owner.pk, by_user=owner, by_role=Role.OWNER)
    assert memberships.role_of(owner, acme) == Role.OWNER


def test_a_closed_account_does_not_count_as_an_owner(acme, owner):
    closed = join(acme, "second@acme.example", Role.OWNER)
    closed.is_active = False
    closed.save()
    with tenancy.tenant(acme), pytest.raises(LastOwner):
        memberships.remove(organization=acme, user_id=owner.pk, by_user=owner, by_role=Role.OWNER)


def test_remove_ends_access_and_the_default(acme, owner, member):
    user = member(Role.DEVELOPER)
    with tenancy.tenant(acme):
        memberships.remove(organization=acme, user_id=user.pk, by_user=owner, by_role=Role.OWNER)
    user.refresh_from_db()
    assert (memberships.find(user, None), user.default_organization_id) == (None, None)
    assert actions(acme)[-1] == "member.removed"


def test_anyone_may_leave(acme, member):
    user = member(Role.VIEWER)
    with tenancy.tenant(acme):
        memberships.remove(organization=acme, user_id=user.pk, by_user=user, by_role=Role.VIEWER)
    assert actions(acme)[-1] == "member.left"


def test_unknown_member_and_unknown_role(acme, globex, stranger, owner):
    with tenancy.tenant(acme):
        for user_id in (uuid4(), stranger.pk):
            with pytest.raises(NotFound):
                memberships.change_role(
                    organization=acme, user_id=user_id, role=Role.ADMIN, by_role=Role.OWNER
                )
            with pytest.raises(NotFound):
                memberships.remove(organization=acme, user_id=user_id, by_user=owner, by_role=Role.OWNER)
        with pytest.raises(Invalid):
            memberships.change_role(organization=acme, user_id=owner.pk, role="king", by_role=Role.OWNER)


def test_memberships_are_walled(acme, globex):
    with tenancy.tenant(acme):
        assert [place.organization_id for place in Membership.objects.all()] == [acme.pk]
    assert not Membership.objects.exists()
