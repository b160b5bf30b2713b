"""Links of mails are created when the mail is sent, for the mailbox that it is sent to."""

import pytest
from allauth.account.models import EmailAddress
from django.core import mail

from accounts import mail_links
from accounts.models import User
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import page_of, person
from tests.accounts.test_notifications import deliver, queued


def queued_verification(user, to: str = "") -> OutboxMessage:
    link = mail_links.to_verify(user)
    return queued(
        template="accounts/email/verify", to=[to or user.email], context={"full_name": "", "link": link}
    )


def test_links_are_made_when_the_mail_is_sent(db):
    user = person("ada@engines.example", verified=False)
    client = page_of(user)
    deliver(queued_verification(user))
    link = next(line for line in mail.outbox[0].body.splitlines() if line.startswith("http"))
    path = link.partition("127.0.0.1")[2].partition("/")[2]
    assert client.get(f"/{path}").status_code == 200
    client.post(f"/{path}")
    assert EmailAddress.objects.get(user=user).verified


def test_a_link_that_has_lost_its_purpose_sends_nothing(db):
    deliver(queued_verification(person("ada@engines.example", verified=True)))
    assert not mail.outbox


@pytest.mark.parametrize("link", [mail_links.to_verify, mail_links.to_reset_password])
def test_a_link_never_reaches_a_mailbox_that_the_account_has_left_meanwhile(db, link):
    user = person("typo@engines.example", verified=False)
    waiting = queued(
        template="accounts/email/verify", to=[user.email], context={"full_name": "", "link": link(user)}
    )
    with tenancy.system("test"):
        EmailAddress.objects.filter(user=user).delete()
        User.objects.filter(pk=user.pk).update(email="ada@engines.example")
    deliver(waiting)
    assert not mail.outbox
