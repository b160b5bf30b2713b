"""Confirming an address proves who opened the link, too."""

import pytest
from django.contrib.auth import get_user
from django.test import Client
from django.utils import timezone

from accounts import invitations, people
from accounts.roles import Role
from superagent.foundation import tenancy
from tests.accounts.conftest import PASSWORD, page_of, path_in_mail, person, role_of
from tests.accounts.newcomer import newcomer, path_in_mail_of_verification

__all__ = ["newcomer"]  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


def test_who_does_not_know_the_password_confirms_nobodys_account(newcomer):
    """An owner of the mailbox who opens every link must not make an attacker's account a confirmed one."""
    link = path_in_mail_of_verification(newcomer)
    for data in ({}, {"password": "not this"}):
        assert Client().post(link, data).status_code == 422
    assert not people.has_verified_email(newcomer)
    elsewhere = Client()
    elsewhere.post(link, {"password": PASSWORD})
    assert people.has_verified_email(newcomer)
    assert get_user(elsewhere).pk == newcomer.pk
    assert Client().get(link).status_code == 410


def test_an_invitations_link_confirms_the_address_it_was_sent_to(acme, owner):
    with tenancy.tenant(acme):
        invitations.invite(
            organization=acme,
            email="new@acme.example",
            role=Role.VIEWER,
            invited_by=owner,
            now=timezone.now(),
        )
    user = person("new@acme.example", verified=False)
    client = page_of(user)
    client.post(path_in_mail("new@acme.example", "invitations"))
    assert people.has_verified_email(user)
    assert role_of(user, acme) == Role.VIEWER
    assert get_user(client).pk == user.pk
