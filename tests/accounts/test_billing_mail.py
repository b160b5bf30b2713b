"""An organization's billing address may be a stranger's: it hears of money, and of no word that somebody typed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress

from accounts import billing_mail, notifications, organizations
from accounts.models import Organization, User
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import founded, join, person

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]
TYPED = "Your parcel is held, call 0900 555 555"
TEMPLATES: dict[str, dict[str, Any]] = {
    "billing/email/plan": {"heading": "Your Pro plan will end", "paragraphs": ["It works until then."]},
    "billing/email/receipt": {"amount": "29.00 USD", "paid_at": "21 November 2026", "lines": []},
    "billing/email/payment_failed": {"amount": "29.00 USD"},
    "billing/email/trial_will_end": {"plan": "Pro", "trial_end": "21 November 2026", "amount": "29.00 USD"},
    "licensing/email/policy": {
        "license": "NextPanel",
        "changes": ["A grace is longer."],
        "reason": "a mistake",
    },
    "licensing/email/license": {"heading": "Your license will end", "paragraphs": ["It works until then."]},
}


@pytest.fixture
def owner() -> User:
    return person("olga@acme.example")


@pytest.fixture
def organization(owner: User) -> Organization:
    return founded(TYPED, owner)


def bill_to(organization: Organization, address: str) -> None:
    with tenancy.tenant(organization):
        organizations.update(organization=organization, name=organization.name, email=address)
    organization.email = address


def tell(organization: Organization, key: str, template: str = "billing/email/plan") -> None:
    billing_mail.announce(
        organization=organization, template=template, context=TEMPLATES[template], dedupe_key=key
    )


def mailed() -> list[dict[str, Any]]:
    with tenancy.system("test"):
        rows = OutboxMessage.objects.filter(topic=notifications.TOPIC).order_by("id")
        return [row.payload for row in rows if row.payload["template"] in TEMPLATES]


def test_a_billing_address_that_a_member_has_confirmed_is_called_by_name(organization: Organization) -> None:
    tell(organization, "a")
    join(organization, "books@acme.example", "billing")
    bill_to(organization, "books@acme.example")
    tell(organization, "b")
    assert [(mail["to"], mail["context"]["organization"]) for mail in mailed()] == [
        (["olga@acme.example"], TYPED),
        (["books@acme.example"], TYPED),
    ]


@pytest.mark.parametrize("template", TEMPLATES)
def test_no_word_of_a_member_reaches_an_address_that_none_has_confirmed(
    organization: Organization, template: str
) -> None:
    bill_to(organization, "victim@example.org")
    billing_mail.send(
        organization=organization, template=template, context=TEMPLATES[template], dedupe_key=template
    )
    (payload,) = mailed()
    mail = notifications.render(**payload)
    assert TYPED not in str(payload) + mail.subject + mail.body + str(mail.alternatives[0][0])
    assert "None" not in mail.body and "Hello ," not in mail.body


def test_an_address_of_somebody_else_or_unconfirmed_is_a_strangers(
    organization: Organization, owner: User
) -> None:
    person("grace@elsewhere.example")  # confirmed, and no member
    bill_to(organization, "grace@elsewhere.example")
    tell(organization, "a")
    bill_to(organization, owner.email)
    with tenancy.system("test"):
        EmailAddress.objects.filter(user=owner).update(verified=False)
    tell(organization, "b")
    assert [mail["context"]["organization"] for mail in mailed()] == ["", ""]


def test_a_stranger_is_told_of_a_few_changes_a_day_and_of_every_payment(
    organization: Organization, settings: Any
) -> None:
    """To cancel and to resume costs nothing, and each was a mail."""
    settings.THROTTLES = settings.THROTTLES | {"mail_billing": (2, 86_400)}
    bill_to(organization, "victim@example.org")
    for number in range(5):
        tell(organization, f"change {number}")
    assert len(mailed()) == 2
    for number in range(5):
        billing_mail.send(
            organization=organization,
            template="billing/email/receipt",
            context=TEMPLATES["billing/email/receipt"],
            dedupe_key=f"receipt {number}",
        )
    assert len(mailed()) == 7
    bill_to(organization, "olga@acme.example")
    for number in range(5):
        tell(organization, f"own {number}")
    assert len(mailed()) == 12


def test_nobody_mails_a_billing_address_past_this_door() -> None:
    apps = ("accounts", "metering", "billing", "licensing", "superagent")
    modules = [path for app in apps for path in (ROOT / app).rglob("*.py")]
    past = re.compile(r"to=\[[\w.]*organization\.email\]")
    found = [str(path.relative_to(ROOT)) for path in modules if past.search(path.read_text())]
    assert found == ["accounts/billing_mail.py"]
