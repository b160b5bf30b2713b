import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEntry, Organization, User
from billing.catalog import seed
from licensing import licenses, policies, vault
from licensing.models import License
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import founded, page_of, person

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANY_KEY = re.compile(r"NP(-[0-9A-Z]{5}){5}")


def issued(organization: Organization, product: str = "nextpanel-professional", **terms: Any) -> License:
    with tenancy.system("test"):
        return licenses.issue(
            organization=organization, policy=policies.of_product(product), **({"now": NOW} | terms)
        )


@pytest.fixture
def make_license(db: None) -> Callable[..., License]:
    return issued


@pytest.fixture
def license_(organization: Organization, make_license) -> License:
    """A professional license that never expires: 50 databases, 25 domains, 100 email accounts."""
    return make_license(organization)


@pytest.fixture
def license_key(license_: License) -> str:
    return vault.decrypt(license_.key_encrypted)


@pytest.fixture
def owner(db: None) -> User:
    with tenancy.system("test"):
        seed.write()
    return person("olga@acme.example")


@pytest.fixture
def acme(owner: User) -> Organization:
    return founded("Acme", owner)


@pytest.fixture
def page(owner: User, acme: Organization) -> Client:
    return page_of(owner)


@pytest.fixture
def admin(db: None) -> Client:
    return page_of(person("sam@superagent.example", is_staff=True, is_superuser=True))


@pytest.fixture
def staff(db: None) -> User:
    with tenancy.system("test"):
        return User.objects.create_user(email="staff@superagent.example", full_name="Sam", is_staff=True)


def mails() -> list[str]:
    with tenancy.system("test"):
        return [
            message.payload["context"]["heading"]
            for message in OutboxMessage.objects.filter(topic="accounts.send_mail").order_by("id")
            if message.payload["template"] == "licensing/email/license"
        ]


def audited(license_: License) -> list[str]:
    with tenancy.system("test"):
        entries = AuditEntry.objects.filter(target_id=str(license_.pk)).order_by("id")
        return [entry.action for entry in entries]
