"""Every change of a license is in the audit trail and mailed once, with reason and remedy."""

from django.urls import reverse

from accounts.models import User
from billing.models import Subscription
from licensing import moderation
from licensing.models import License
from superagent.foundation.models import OutboxMessage
from tests.licensing.conftest import NOW, audited, mails
from tests.licensing.test_subscriptions import change, item, subscription

__all__ = ["item", "subscription"]  # fixtures


def test_every_change_is_audited_and_mailed_once(
    system_scope: None, subscription: Subscription, staff: User
) -> None:
    license_ = License.objects.get()
    change(subscription)  # the same again says nothing new
    change(subscription, cancel_at_period_end=True)
    change(subscription, cancel_at_period_end=False)
    change(subscription, status="unpaid")
    change(subscription, status="active")
    moderation.suspend(license_id=license_.pk, reason="Abuse", actor=staff, now=NOW)
    moderation.reinstate(license_id=license_.pk, reason="Settled", actor=staff, now=NOW)
    change(subscription, status="canceled", ended_at=NOW, ended_for_nonpayment=True)
    moderation.revoke(license_id=license_.pk, reason="Fraud", actor=staff)
    name = "NextPanel Professional"
    assert mails() == [
        f"Your {name} license is ready",
        f"Your {name} license will end",
        f"Your {name} license continues",
        f"Your {name} license is suspended",
        f"Your {name} license works again",
        f"Your {name} license is suspended",
        f"Your {name} license works again",
        f"Your {name} license has ended",
        f"Your {name} license was revoked",
    ]
    assert audited(license_) == [
        "license.issued",
        "license.ending",
        "license.continued",
        "license.suspended",
        "license.reinstated",
        "license.suspended",
        "license.reinstated",
        "license.expired",
        "license.revoked",
    ]


def test_the_mail_names_reason_remedy_and_contact(
    system_scope: None, license_: License, staff: User, settings
) -> None:
    from accounts import notifications

    settings.SUPPORT_EMAIL = "help@example.com"
    moderation.suspend(license_id=license_.pk, reason="Chargeback received", actor=staff, now=NOW)
    message = OutboxMessage.objects.filter(topic="accounts.send_mail").latest("id")
    mail = notifications.render(**message.payload)
    assert mail.subject == "Your NextPanel Professional license is suspended"
    html = mail.alternatives[0].content
    for text in (mail.body, html):
        assert "Chargeback received" in text
        assert "You are not charged while it is suspended" in text
        assert "help@example.com" in text
        assert license_.masked_key in text
        assert reverse("license", args=[license_.pk]) in text
