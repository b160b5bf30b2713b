"""A person who changes their address, and what lands in the mailboxes, for the tests of changes of address."""

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts import email_changes
from accounts.models import EmailChange, User
from superagent.foundation import outbox
from tests.accounts.conftest import PASSWORD, person

NEW_PASSWORD = "an entirely new one"


@pytest.fixture
def ada(db) -> User:
    return person("ada@engines.example")


def logged_in(user: User, password: str = PASSWORD) -> Client:
    """A browser whose login has just been proven, as before everything sensitive."""
    client = Client()
    answer = client.post("/accounts/login/", {"login": user.email, "password": password})
    assert answer.status_code == 302
    client.post("/accounts/reauthenticate/", {"password": password})
    return client


def ask(client: Client, email: str):
    return client.post("/accounts/email/", {"email": email})


def asked(user: User, email: str) -> EmailChange:
    return email_changes.ask(user=user, new_email=email, now=timezone.now())


def identity(user: User) -> tuple[str, list[tuple[str, bool, bool]]]:
    """What the two tables say of a person's address."""
    rows = EmailAddress.objects.filter(user_id=user.pk).values_list("email", "primary", "verified")
    return User.objects.get(pk=user.pk).email, list(rows)


def mails_to(address: str) -> list[str]:
    outbox.sweep()
    return [sent.subject for sent in mail.outbox if sent.to == [address]]


def is_logged_in(client: Client) -> bool:
    return client.get("/settings/profile/").status_code == 200 or (
        "/organizations/new/" in client.get("/settings/profile/").get("Location", "")
    )


def made(user: User, email: str) -> EmailChange:
    user.refresh_from_db()
    change = asked(user, email)
    email_changes.agree(change=change, now=timezone.now())
    return email_changes.confirm(change=change, now=timezone.now())
