"""A person who closes their account, and what an organization pays for, for the tests of closing."""

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import api_keys, charges, closures, tasks
from accounts.charges import Charge
from accounts.models import AccountClosure, User
from accounts.roles import Scope
from superagent.foundation import outbox, tenancy
from tests.accounts.conftest import PASSWORD

CLOSE = "/settings/profile/close/"


class Shop:
    """The upper floor that charges, of which accounts knows a port only."""

    def __init__(self) -> None:
        self.sold: dict[object, list[Charge]] = {}
        self.failing: set[object] = set()

    def running(self, organization) -> list[Charge]:
        if organization.pk in self.failing:
            raise RuntimeError("a mistake of ours")
        return self.sold.get(organization.pk, [])

    def paying(self, organizations):
        return organizations.filter(pk__in=list(self.sold))

    def end_all(self, organization) -> None:
        self.running(organization)
        self.sold.pop(organization.pk, None)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    made = Shop()
    for port in (charges.running, charges.paying, charges.end_all):
        monkeypatch.setattr(port, "function", getattr(made, port.__name__))
    monkeypatch.setattr(charges.unbilled, "function", charges.unbilled.__wrapped__)
    return made


def proven(user: User) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def mails_to(address: str) -> list[str]:
    outbox.sweep()
    return [sent.subject for sent in mail.outbox if sent.to == [address]]


def ask(user: User, *, end_charges: bool = False) -> AccountClosure:
    return closures.ask(user=user, end_charges=end_charges, now=timezone.now())


def later(closure: AccountClosure) -> int:
    """The job, when the two weeks are over."""
    AccountClosure.objects.filter(pk=closure.pk).update(closes_at=timezone.now())
    return tasks.close_accounts()


def made_key(organization, user) -> str:
    with tenancy.tenant(organization):
        _key, plain_text = api_keys.create(
            organization=organization, name="key", scopes=[Scope.ORGANIZATION_READ], created_by=user,
            expires_at=None, now=timezone.now(),
        )  # fmt: skip
    return plain_text
