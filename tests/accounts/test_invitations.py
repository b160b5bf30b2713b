from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import invitations, mail_links, memberships
from accounts.memberships import OwnersOnly
from accounts.models import Invitation, User
from accounts.roles import Role
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from superagent.foundation.problems import NotFound
from tests.accounts.conftest import PASSWORD, actions, person, role_of


def invite(organization, owner, email="New@acme.example", role=Role.DEVELOPER, now=None) -> Invitation:
    with tenancy.tenant(organization):
        return invitations.invite(
            organization=organization,
            email=email,
            role=role,
            invited_by=owner,
            now=now or timezone.now(),
        )


def test_invite_writes_a_mail_without_the_link(acme, owner):
    invitation = invite(acme, owner)
    with tenancy.system("test"):
        mail = OutboxMessage.objects.get(topic="accounts.send_mail")
        assert mail.organization_id == acme.pk
        assert mail_links.invitation_token(invitation) not in str(mail.payload)
        address = mail_links.make(mail.payload["context"]["link"], to=invitation.email)
    assert address.endswith(f"/invitations/{mail_links.invitation_token(invitation)}/")
    assert actions(acme)[-1] == "invitation.created"


def test_an_address_is_invited_once(acme, owner):
    invite(acme, owner)
    with pytest.raises(invitations.AlreadyInvited):
        invite(acme, owner, "new@ACME.example")


def test_an_expired_invitation_gives_way(acme, owner):
    invite(acme, owner, now=timezone.now() - timedelta(days=8))
    assert invite(acme, owner).status == "open"


def test_a_member_is_not_invited(acme, owner):
    with pytest.raises(invitations.AlreadyMember):
        invite(acme, owner, owner.email)


def test_only_an_owner_invites_an_owner(acme, owner, member):
    with pytest.raises(OwnersOnly):
        invite(acme, member(Role.ADMIN), role=Role.OWNER)
    assert invite(acme, owner, role=Role.OWNER).role == Role.OWNER


def test_find_by_token_refuses_what_was_not_signed(acme, owner):
    invitation = invite(acme, owner)
    token = mail_links.invitation_token(invitation)
    assert invitations.find(token).organization == acme
    for wrong in (str(invitation.pk), token[:-1], f"{invitation.pk}:{'x' * 43}", ""):
        with pytest.raises(NotFound):
            invitations.find(wrong)


def test_accept_makes_a_member_once(acme, owner):
    invitation = invite(acme, owner)
    user = person("new@acme.example")
    assert invitations.accept(invitation=invitation, user=user, now=timezone.now()).role == Role.DEVELOPER
    assert memberships.find(user, None).organization == acme
    with pytest.raises(invitations.InvitationGone):
        invitations.accept(invitation=invitation, user=user, now=timezone.now())
    with pytest.raises(invitations.InvitationGone):
        invitations.find(mail_links.invitation_token(invitation))


def test_accept_is_for_the_invited_address_only(acme, owner, stranger):
    invitation = invite(acme, owner)
    with pytest.raises(invitations.AnotherAddress):
        invitations.accept(invitation=invitation, user=stranger, now=timezone.now())
    assert role_of(stranger, acme) is None


def test_accept_refuses_when_it_has_expired(acme, owner):
    invitation = invite(acme, owner)
    user = person("new@acme.example")
    with pytest.raises(invitations.InvitationGone):
        invitations.accept(invitation=invitation, user=user, now=timezone.now() + timedelta(days=8))


def test_register_joins_and_proves_the_address(acme, owner):
    from accounts import people

    user = invitations.register(
        invitation=invite(acme, owner), password=PASSWORD, full_name="New", now=timezone.now()
    )
    assert role_of(user, acme) == Role.DEVELOPER
    assert people.has_verified_email(user)
    assert User.objects.get(pk=user.pk).default_organization_id == acme.pk


def test_who_signs_up_by_an_invitation_is_welcomed_by_name(acme, owner):
    token = mail_links.invitation_token(invite(acme, owner))
    form = {"full_name": "New", "password": PASSWORD}
    page = Client().post(f"/invitations/{token}/", form, follow=True).content.decode()
    assert "Welcome to Acme." in page


def test_revoke(acme, globex, owner):
    invitation = invite(acme, owner)
    now = timezone.now()
    with tenancy.tenant(globex), pytest.raises(NotFound):
        invitations.revoke(organization=globex, invitation_id=invitation.pk, now=now)
    with tenancy.tenant(acme):
        invitations.revoke(organization=acme, invitation_id=invitation.pk, now=now)
        invitations.revoke(organization=acme, invitation_id=invitation.pk, now=now)
    with pytest.raises(invitations.InvitationGone):
        invitations.find(mail_links.invitation_token(invitation))
    assert actions(acme).count("invitation.revoked") == 1
