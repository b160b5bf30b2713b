import smtplib

import pytest
import requests
from anymail.exceptions import AnymailAPIError, AnymailRecipientsRefused
from django.core import mail
from django.core.mail import EmailMultiAlternatives

from accounts import notifications
from superagent.foundation import retries, tenancy
from superagent.foundation.models import OutboxMessage


def queued(**fields) -> OutboxMessage:
    given = {
        "template": "accounts/email/security_notice",
        "to": ["ada@engines.example"],
        "context": {
            "notice": "Your password was changed",
            "at": "now",
            "ip_address": "192.0.2.1",
            "browser": "<b>",
        },
        "dedupe_key": "one",
    }
    notifications.send(**(given | fields))
    with tenancy.system("test"):
        return OutboxMessage.objects.latest("id")


def deliver(message: OutboxMessage) -> None:
    with tenancy.system("test"):
        notifications.deliver(message)


def test_a_mail_has_subject_text_and_html(db):
    deliver(queued())
    sent = mail.outbox[0]
    assert (sent.subject, sent.to) == ("Your password was changed", ["ada@engines.example"])
    assert "Your password was changed.\n\nWhen: now\nIP address: 192.0.2.1\nBrowser: <b>\n" in sent.body
    html, kind = sent.alternatives[0]
    assert (kind, "&lt;b&gt;" in html, "<b>\n" in html) == ("text/html", True, False)


def test_the_same_key_is_mailed_once(db):
    assert queued().pk == queued().pk
    with tenancy.system("test"):
        assert OutboxMessage.objects.count() == 1


def test_the_kill_switch_keeps_mails(db, settings):
    settings.MAIL_ENABLED = False
    with pytest.raises(retries.Postponed):
        deliver(queued())
    assert not mail.outbox


def _api_error(status: int | None) -> AnymailAPIError:
    error = AnymailAPIError("refused")
    error.status_code = status
    return error


@pytest.mark.parametrize(
    "error, kind",
    [
        (_api_error(422), retries.Permanent),
        (_api_error(401), retries.Retryable),
        (_api_error(429), retries.Retryable),
        (_api_error(503), retries.Retryable),
        (_api_error(None), retries.Retryable),
        (AnymailRecipientsRefused(), retries.Permanent),
        (smtplib.SMTPRecipientsRefused({}), retries.Permanent),
        (smtplib.SMTPServerDisconnected(), retries.Retryable),
        (requests.ConnectionError(), retries.Retryable),
        (TimeoutError(), retries.Retryable),
    ],
)
def test_errors_of_the_mailer_are_translated(db, monkeypatch, error, kind):
    def fail(self: EmailMultiAlternatives) -> int:
        raise error

    monkeypatch.setattr(EmailMultiAlternatives, "send", fail)
    with pytest.raises(kind):
        deliver(queued())


@pytest.mark.parametrize(
    "template, context",
    [
        ("verify", {"full_name": "Ada", "link": "https://x.example/"}),
        ("reset_password", {"full_name": "Ada", "link": "https://x.example/"}),
        (
            "invitation",
            {
                "organization": "A & B",
                "invited_by": "Olga",
                "role": "Admin",
                "days": 7,
                "link": "https://x.example/",
            },
        ),
        ("account_exists", {}),
        ("membership_changed", {"what": "A & B"}),
        ("security_notice", {"notice": "n", "at": "t", "ip_address": "i", "browser": "b"}),
    ],
)
def test_every_template_renders(db, template, context):
    made = notifications.render(f"accounts/email/{template}", ["a@b.example"], context)
    assert made.subject and "&" not in made.subject.replace("A & B", "")
    assert "&amp;" not in made.body
    assert "{{" not in made.body + made.alternatives[0][0]
