"""Who answers for a key is told when it is made, replaced or revoked: once, and not at a stranger's address."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.db import transaction
from django.utils import timezone

from accounts import api_keys, notifications, offboarding
from accounts.models import ApiKey, Organization, User
from accounts.roles import Role, Scope
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import founded, join, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    return person("olga@acme.example")


@pytest.fixture
def acme(owner: User) -> Organization:
    return founded("Acme", owner)


def make(organization: Organization, maker: User | None, name: str = "server") -> ApiKey:
    with tenancy.tenant(organization):
        key, _plain_text = api_keys.create(
            organization=organization, name=name, scopes=[Scope.USAGE_READ], created_by=maker,
            expires_at=None, now=timezone.now(),
        )  # fmt: skip
    return key


def revoke(organization: Organization, key: ApiKey, by: User | None, **options: Any) -> None:
    with tenancy.tenant(organization):
        api_keys.revoke(
            organization=organization, key_id=key.pk, revoked_by=by, now=timezone.now(), **options
        )


def told(template: str = "accounts/email/api_key") -> list[tuple[str, str]]:
    """Recipient and subject of the mails, in their order."""
    with tenancy.system("test"):
        rows = OutboxMessage.objects.filter(topic=notifications.TOPIC).order_by("id")
        payloads = [row.payload for row in rows if row.payload["template"] == template]
    return [(payload["to"][0], notifications.render(**payload).subject) for payload in payloads]


def test_maker_and_managers_are_told_and_nobody_else(owner: User, acme: Organization) -> None:
    developer = join(acme, "dev@acme.example", Role.DEVELOPER)
    admin = join(acme, "adam@acme.example", Role.ADMIN)
    join(acme, "other@acme.example", Role.DEVELOPER)
    key = make(acme, developer)
    subject = f"An API key was created: {key}"
    assert told() == [(who.email, subject) for who in (owner, developer, admin)]


def test_the_mail_says_who_what_and_why_and_not_the_key(owner: User, acme: Organization) -> None:
    with tenancy.tenant(acme):
        key, plain_text = api_keys.create(
            organization=acme, name="server", scopes=[Scope.USAGE_READ], created_by=owner, expires_at=None,
            now=timezone.now(),
        )  # fmt: skip
    revoke(acme, key, owner, reason="it was in a log")
    with tenancy.system("test"):
        payload = OutboxMessage.objects.filter(topic=notifications.TOPIC).latest("id").payload
    mail = notifications.render(**payload)
    assert mail.subject == f"An API key was revoked: {key}"
    for body in (mail.body, mail.alternatives[0].content):
        assert owner.email in body and "it was in a log" in body and "Acme" in body and "/api-keys/" in body
        assert plain_text not in body


def test_a_key_that_is_revoked_twice_is_told_once(owner: User, acme: Organization) -> None:
    key = make(acme, owner)
    revoke(acme, key, owner)
    revoke(acme, key, owner)
    assert [subject for _to, subject in told()] == [
        f"An API key was created: {key}",
        f"An API key was revoked: {key}",
    ]


def test_a_rotation_is_told(owner: User, acme: Organization) -> None:
    key = make(acme, owner)
    with tenancy.tenant(acme):
        api_keys.rotate(
            organization=acme, key_id=key.pk, grace=timedelta(0), rotated_by=owner, now=timezone.now()
        )
    assert told()[1:] == [(owner.email, f"An API key was rotated: {key}")]


def test_what_is_not_committed_is_not_told(owner: User, acme: Organization) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        make(acme, owner)
        raise RuntimeError
    assert told() == []


def test_names_of_keys_are_not_mailed_to_an_unconfirmed_address(owner: User, acme: Organization) -> None:
    stranger = join(acme, "victim@example.com", Role.ADMIN)
    with tenancy.system("test"):
        EmailAddress.objects.filter(user=stranger).update(verified=False)
    make(acme, owner, name="Buy now")
    assert [to for to, _subject in told()] == [owner.email]


def test_a_flood_of_keys_is_no_flood_of_mails(owner: User, acme: Organization, settings: Any) -> None:
    settings.THROTTLES = settings.THROTTLES | {"mail_api_key": (2, 86_400)}
    for number in range(4):
        make(acme, owner, name=f"key {number}")
    assert len(told()) == 2


def test_keys_that_end_with_their_makers_rights_are_told_in_one_mail(owner: User, acme: Organization) -> None:
    developer = join(acme, "dev@acme.example", Role.DEVELOPER)
    make(acme, developer)
    make(acme, developer)
    before = len(told())
    with tenancy.tenant(acme), transaction.atomic():
        offboarding.end_beyond(
            organization=acme, user=developer, role=None, by=owner, revoke_keys=True, now=timezone.now()
        )
    assert len(told()) == before
    assert [to for to, _subject in told("accounts/email/keys_revoked")] == [owner.email]
