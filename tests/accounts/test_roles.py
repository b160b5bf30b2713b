"""Roles: higher ones include lower ones, and nobody gives more than they have."""

import pytest

from accounts import roles
from accounts.roles import SCOPES_OF_ROLE, Role, Scope, may_give


@pytest.mark.parametrize("giver", Role)
@pytest.mark.parametrize("role", Role)
def test_a_role_gives_at_most_what_it_has(giver, role):
    if may_give(giver, role):
        assert SCOPES_OF_ROLE[role] <= SCOPES_OF_ROLE[giver]
        assert role != Role.OWNER or giver == Role.OWNER
        assert Scope.ORGANIZATION_WRITE in SCOPES_OF_ROLE[giver]


def test_every_owner_and_admin_may_manage_the_lower_roles():
    lower = {Role.ADMIN, Role.DEVELOPER, Role.BILLING, Role.VIEWER}
    assert {role for role in Role if may_give(Role.ADMIN, role)} == lower
    assert {role for role in Role if may_give(Role.OWNER, role)} == lower | {Role.OWNER}


def test_every_role_is_a_part_of_the_next_higher_ones():
    scopes = roles.SCOPES_OF_ROLE
    assert scopes[Role.OWNER] == scopes[Role.ADMIN] == set(Scope)
    assert scopes[Role.VIEWER] < scopes[Role.DEVELOPER] < scopes[Role.ADMIN]
    assert scopes[Role.VIEWER] < scopes[Role.BILLING] < scopes[Role.ADMIN]
    assert not roles.allows("king", Scope.USAGE_READ)
