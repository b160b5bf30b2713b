"""API keys manage no members, and rights that were just taken away count."""

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts import memberships
from accounts.models import Invitation, Membership, Organization
from accounts.roles import Role, Scope
from superagent.foundation import tenancy
from tests.accounts.conftest import join, key_of
from tests.accounts.made_keys import invited

# --- API keys manage no members


def writes(organization: Organization, user_id) -> list[tuple[str, str, dict | None]]:
    path = f"organizations/{organization.pk}"
    return [
        ("POST", f"{path}/invitations", {"email": "evil@evil.example", "role": "admin"}),
        ("POST", f"{path}/invitations", {"email": "evil@evil.example", "role": "viewer"}),
        ("PATCH", f"{path}/members/{user_id}", {"role": "admin"}),
        ("DELETE", f"{path}/members/{user_id}", None),
        ("PATCH", f"users/{user_id}", {"role": "admin"}),
        ("POST", "organizations", {"name": "Second"}),
    ]


@pytest.mark.parametrize("scopes", [[Scope.ORGANIZATION_WRITE, Scope.ORGANIZATION_READ], list(Scope)])
def test_an_api_key_manages_no_members_whatever_its_scopes(acme, owner, member, scopes):
    """H5: a key with only organization:write made an admin with every scope."""
    user, open_one = member(Role.VIEWER), invited(acme, owner, "new@acme.example", Role.VIEWER)
    key = key_of(acme, *scopes)
    withdrawal = ("DELETE", f"organizations/{acme.pk}/invitations/{open_one.pk}", None)
    for method, path, body in [*writes(acme, user.pk), withdrawal]:
        answer = key(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "person_required"), path
        assert "Use a user's access token" in answer.json()["detail"]
    with tenancy.tenant(acme):
        assert Invitation.objects.open(timezone.now()).count() == 1
        assert Membership.objects.get(user=user).role == Role.VIEWER


def test_a_key_without_the_scope_is_not_told_to_get_it_for_members(acme, owner):
    answer = key_of(acme, Scope.ORGANIZATION_READ).post(
        f"organizations/{acme.pk}/invitations", {"email": "a@b.example", "role": "viewer"}
    )
    assert answer.json()["code"] == "person_required"


def test_a_key_still_reads_members_and_renames_the_organization(acme, owner):
    key = key_of(acme, Scope.ORGANIZATION_WRITE, Scope.ORGANIZATION_READ)
    assert key.get(f"organizations/{acme.pk}/members").status_code == 200
    assert key.patch(f"organizations/{acme.pk}", {"name": "Acme 2"}).json()["name"] == "Acme 2"


# --- roles


@pytest.mark.django_db(transaction=True)
def test_a_right_that_is_taken_away_meanwhile_invites_nobody(acme, owner):
    """The role counts that the inviter has when the invitation is written, not when the request began."""
    admin = join(acme, "admin@acme.example", Role.ADMIN)
    results: list[object] = []

    def invite() -> None:
        try:
            results.append(invited(acme, admin, "evil@evil.example", Role.ADMIN))
        except Exception as error:  # noqa: BLE001  # what it raised is the result
            results.append(error)
        finally:
            connection.close()

    with tenancy.tenant(acme), transaction.atomic():
        memberships.change_role(
            organization=acme,
            user_id=admin.pk,
            role=Role.VIEWER,
            by=owner,
            revoke_keys=True,
            now=timezone.now(),
        )
        other = threading.Thread(target=invite)
        other.start()
        other.join(0.5)  # it waits for the lock, or has been refused already: either way it must not succeed
    other.join(30)
    assert isinstance(results[0], memberships.RoleNotAllowed)


# --- what outlives a member


# --- the same in the portal
