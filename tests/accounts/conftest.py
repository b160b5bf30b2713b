"""People, organizations and credentials for the tests of accounts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from accounts import api_keys, organizations, tokens
from accounts.models import AuditEntry, Membership, Organization, User
from accounts.roles import Role, Scope
from superagent.foundation import outbox, tenancy
from tests.fixtures.staff import staff_client

PASSWORD = "a horse on a mountain"


@dataclass
class Api:
    """Speaks JSON to /api/v1/ with one credential."""

    credential: str = ""
    organization: Organization | None = None

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        if self.credential:
            headers.setdefault("Authorization", f"Bearer {self.credential}")
        if self.organization is not None:
            headers.setdefault("X-Organization-Id", str(self.organization.pk))
        return Client().generic(
            method,
            f"/api/v1/{path}",
            json.dumps(body) if body is not None else "",
            content_type="application/json",
            headers=headers,
        )

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self("POST", path, body if body is not None else {}, **headers)

    def patch(self, path: str, body: Any) -> HttpResponse:
        return self("PATCH", path, body)

    def delete(self, path: str) -> HttpResponse:
        return self("DELETE", path)


def person(email: str, *, verified: bool = True, **fields: Any) -> User:
    with tenancy.system("test"):
        user = User.objects.create_user(email, PASSWORD, full_name=email.partition("@")[0].title(), **fields)
        EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=verified)
    return user


def founded(name: str, owner: User) -> Organization:
    return organizations.create(name=name, owner=owner, now=timezone.now())


def join(organization: Organization, email: str, role: str) -> User:
    user = person(email)
    with tenancy.system("test"):
        Membership.objects.create(organization=organization, user=user, role=role)
        user.default_organization = organization
        user.save()
    return user


def role_of(user: User, organization: Organization) -> str | None:
    with tenancy.system("test"):
        found = Membership.objects.filter(user=user, organization=organization)
        return found.values_list("role", flat=True).first()


def api_of(user: User, organization: Organization | None = None) -> Api:
    pair = tokens.log_in(user=user, ip_address=None, user_agent="", now=timezone.now())
    return Api(pair.access_token, organization)


def key_of(organization: Organization, *scopes: Scope, expires_at: datetime | None = None) -> Api:
    with tenancy.tenant(organization):
        _key, plain_text = api_keys.create(
            organization=organization,
            name="test",
            scopes=[scope.value for scope in scopes or Scope],
            created_by=None,
            expires_at=expires_at,
            now=timezone.now(),
        )
    return Api(plain_text)


def page_of(user: User) -> Client:
    if user.is_staff:
        return staff_client(user)
    client = Client()
    client.force_login(user)
    return client


def path_in_mail(to: str, part: str) -> str:
    """The path of the newest link with `part` in it that was mailed to `to`."""
    outbox.sweep()
    texts = [sent.body for sent in reversed(mail.outbox) if sent.to == [to]]
    links = (re.search(rf"http://[^/\s]+(/\S*{part}\S*)", text) for text in texts)
    return next(link.group(1) for link in links if link)


def actions(organization: Organization | None) -> list[str]:
    """What the audit trail says of an organization, oldest first."""
    with tenancy.system("test"):
        return list(
            AuditEntry.objects.filter(organization=organization)
            .order_by("id")
            .values_list("action", flat=True)
        )


@pytest.fixture
def owner(db: None) -> User:
    return person("olga@acme.example")


@pytest.fixture
def acme(owner: User) -> Organization:
    return founded("Acme", owner)


@pytest.fixture
def stranger(db: None) -> User:
    return person("stefan@globex.example")


@pytest.fixture
def globex(stranger: User) -> Organization:
    return founded("Globex", stranger)


@pytest.fixture
def member(acme: Organization) -> Callable[[str], User]:
    def make(role: str) -> User:
        return join(acme, f"{role}@acme.example", Role(role))

    return make
