"""What happens to a member's keys and invitations when they leave or get a lower role."""

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from accounts import invitations, memberships
from accounts.models import AuditEntry, Invitation
from accounts.roles import Role, Scope
from superagent.foundation import tenancy
from tests.accounts.conftest import actions, api_of, join, key_of, page_of, person, role_of
from tests.accounts.made_keys import invited, made_by, mails, usable


def test_removing_a_member_revokes_the_keys_they_made(acme, owner, member):
    user = member(Role.DEVELOPER)
    made_by(user, acme, Scope.USAGE_READ, name="theirs")
    made_by(owner, acme, Scope.USAGE_READ, name="ours")
    answer = api_of(owner).delete(f"organizations/{acme.pk}/members/{user.pk}")
    assert answer.status_code == 204
    assert usable(acme) == {"ours"}
    assert actions(acme)[-2:] == ["member.removed", "api_key.revoked"]
    with tenancy.tenant(acme):
        entry = AuditEntry.objects.latest("id")
    assert entry.actor_label == owner.email
    assert entry.detail == {"reason": "developer@acme.example is no longer a member"}
    (mail,) = mails("keys_revoked")
    assert mail.payload["to"] == [owner.email]
    assert mail.payload["context"]["keys"][0].startswith("theirs (sa_test_")


def test_an_owner_whose_address_nobody_confirmed_is_mailed_no_names_of_keys(acme, owner, member):
    user = member(Role.DEVELOPER)
    made_by(user, acme, Scope.USAGE_READ, name="call Mallory")
    with tenancy.system("test"):
        EmailAddress.objects.filter(user=owner).update(verified=False)
        memberships.remove(organization=acme, user_id=user.pk, by=owner, revoke_keys=True, now=timezone.now())
    assert usable(acme) == set()
    assert mails("keys_revoked") == []


@pytest.mark.parametrize("value", ["false", "0"])
def test_the_keys_of_a_removed_member_are_kept_on_request(acme, owner, member, value):
    user = member(Role.DEVELOPER)
    made_by(user, acme, Scope.USAGE_READ)
    path = f"organizations/{acme.pk}/members/{user.pk}"
    assert api_of(owner).delete(f"{path}?revoke_keys=maybe").json()["errors"][0]["pointer"] == "/revoke_keys"
    assert api_of(owner).delete(f"{path}?revoke_keys={value}").status_code == 204
    assert usable(acme) == {"server"}
    assert mails("keys_revoked") == []


def test_a_key_that_a_members_key_made_goes_with_the_member(acme, owner, member):
    user = member(Role.DEVELOPER)
    answer = api_of(user).post("api-keys", {"name": "first", "scopes": ["keys:write", "usage:read"]})
    first = key_of(acme)
    first.credential = answer.json()["key"]
    second = first.post("api-keys", {"name": "second", "scopes": ["usage:read"]})
    assert (second.status_code, second.json()["created_by"]) == (201, user.email)
    rotated = first.post(f"api-keys/{second.json()['id']}/rotate")
    assert rotated.json()["created_by"] == user.email
    with tenancy.tenant(acme):
        assert AuditEntry.objects.latest("id").actor_label.startswith("first (sa_test_")  # it was the key
    api_of(owner).delete(f"organizations/{acme.pk}/members/{user.pk}")
    assert "first" not in usable(acme)
    assert "second" not in usable(acme)


def test_a_lower_role_ends_the_keys_that_exceed_it(acme, owner, member):
    user = member(Role.ADMIN)
    made_by(user, acme, Scope.USAGE_READ, Scope.LICENSES_READ, name="reads")
    made_by(user, acme, Scope.BILLING_WRITE, name="buys")
    path = f"organizations/{acme.pk}/members/{user.pk}"
    assert api_of(owner).patch(path, {"role": "developer"}).json()["role"] == "developer"
    assert usable(acme) == {"reads"}
    (mail,) = mails("keys_revoked")
    assert [name.partition(" ")[0] for name in mail.payload["context"]["keys"]] == ["buys"]


def test_a_lower_role_keeps_the_keys_on_request(acme, owner, member):
    user = member(Role.ADMIN)
    made_by(user, acme, Scope.BILLING_WRITE, name="buys")
    for path in (f"organizations/{acme.pk}/members/{user.pk}", f"users/{user.pk}"):
        assert api_of(owner).patch(path, {"role": "viewer", "revoke_keys": False}).status_code == 200
        assert usable(acme) == {"buys"}
    assert api_of(owner).patch(f"users/{user.pk}", {"role": "billing"}).status_code == 200
    assert usable(acme) == {"buys"}  # billing may buy


def test_open_invitations_end_with_the_right_to_send_them(acme, owner, member):
    user = member(Role.ADMIN)
    evil = invited(acme, user, "evil@evil.example", Role.ADMIN)
    ours = invited(acme, owner, "new@acme.example", Role.ADMIN)
    api_of(owner).patch(f"organizations/{acme.pk}/members/{user.pk}", {"role": "developer"})
    guest = person("evil@evil.example")
    with pytest.raises(invitations.InvitationGone):
        invitations.accept(invitation=evil, user=guest, now=timezone.now())
    with tenancy.tenant(acme):
        assert [open_one.pk for open_one in Invitation.objects.open(timezone.now())] == [ours.pk]
    assert role_of(guest, acme) is None


def test_the_portal_offers_to_revoke_and_does_unless_told_to_keep(acme, owner, member):
    first, second = member(Role.DEVELOPER), join(acme, "second@acme.example", Role.DEVELOPER)
    made_by(first, acme, Scope.USAGE_READ, name="first")
    made_by(second, acme, Scope.USAGE_READ, name="second")
    page = page_of(owner)
    shown = page.get("/members/").content.decode()
    assert shown.count('value="revoke"') == 2  # the owner and those without keys are asked nothing
    assert "The API key that this member made" in shown
    page.post(f"/members/{first.pk}/remove/", {"keys": "keep"})
    assert usable(acme) == {"first", "second"}
    answer = page.post(f"/members/{second.pk}/remove/", follow=True)
    assert usable(acme) == {"first"}
    assert "These API keys no longer work: second (sa_test_" in answer.content.decode()


def test_the_portal_asks_about_keys_when_a_role_is_changed(acme, owner, member):
    user = member(Role.ADMIN)
    page = page_of(owner)
    assert "revoke_keys" not in page.get(f"/members/{user.pk}/").content.decode()
    made_by(user, acme, Scope.BILLING_WRITE, name="buys")
    assert 'name="revoke_keys"' in page.get(f"/members/{user.pk}/").content.decode()
    page.post(f"/members/{user.pk}/", {"role": "developer"})  # the box is not ticked
    assert usable(acme) == {"buys"}
    page.post(f"/members/{user.pk}/", {"role": "viewer", "revoke_keys": "on"})
    assert usable(acme) == set()


def test_who_leaves_is_asked_about_their_keys(acme, owner, member):
    user = member(Role.DEVELOPER)
    made_by(user, acme, Scope.USAGE_READ)
    page = page_of(user)
    assert "The API key that you made" in page.get("/settings/").content.decode()
    page.post(f"/members/{user.pk}/remove/", {"keys": "revoke"})
    assert usable(acme) == set()
