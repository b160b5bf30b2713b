"""Resetting a password by mail: one row for any address, and every login ends."""

import pytest
from django.core import mail
from django.test import Client

from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import path_in_mail, person

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_reset_writes_one_row_whether_or_not_somebody_has_the_address(db, client):
    """L10."""
    person("ada@engines.example")
    for email in ("ada@engines.example", "nobody@engines.example"):
        client.post("/accounts/password/reset/", {"email": email})
        with tenancy.system("test"):
            mail = OutboxMessage.objects.latest("id")
        assert mail.payload["to"] == [email]
        assert mail.payload["context"] == {"link": {"link_to": "reset_password"}}


def test_reset_of_a_forgotten_password():
    user = person("ada@engines.example")
    client = Client()
    asked = client.post("/accounts/password/reset/", {"email": "ADA@engines.example"})
    unknown = client.post("/accounts/password/reset/", {"email": "nobody@engines.example"})
    assert (asked.status_code, asked["Location"]) == (unknown.status_code, unknown["Location"])
    page = client.get(path_in_mail(user.email, "password/reset/key"))
    assert client.post(
        page["Location"], {"password1": "an entirely new one", "password2": "an entirely new one"}
    )
    user.refresh_from_db()
    assert user.check_password("an entirely new one")
    outbox.sweep()
    assert {sent.to[0] for sent in mail.outbox} == {"ada@engines.example"}
    assert mail.outbox[-1].subject == "Your password was reset with a link from an email"
