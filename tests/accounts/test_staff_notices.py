"""Mails about what staff did: to whom, and changes as text."""

import pytest

from accounts import notifications, staff_notices
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import person


def mailed() -> dict[str, dict]:
    with tenancy.system("test"):
        payloads = OutboxMessage.objects.filter(topic=notifications.TOPIC).values_list("payload", flat=True)
        return {payload["to"][0]: payload for payload in payloads}


def test_every_active_superuser_and_the_person_concerned_get_one_mail(db):
    root = person("root@superagent.example", is_staff=True, is_superuser=True)
    person("gone@superagent.example", is_staff=True, is_superuser=True, is_active=False)
    sam = person("sam@superagent.example", is_staff=True)
    staff_notices.to_superusers(
        subject="The rights of sam were changed", by=root, reason="Promoted", also=sam,
        changes={"groups": {"from": [], "to": ["Support", "Billing"]}, "staff": {"from": False, "to": True}},
    )  # fmt: skip
    mails = mailed()
    assert set(mails) == {"root@superagent.example", "sam@superagent.example"}
    text = notifications.render(**mails["sam@superagent.example"]).body
    for line in (
        "Reason: Promoted",
        "  before: none",
        "  now: Support, Billing",
        "  before: no",
        "  now: yes",
    ):
        assert line in text


def test_a_person_reads_what_our_support_did_why_and_what_to_do(db):
    ada = person("ada@engines.example")
    staff_notices.to_person(
        person=ada, what="Our support did this.", reason="Asked by phone", remedy="Reply."
    )
    mail = notifications.render(**mailed()["ada@engines.example"])
    assert mail.subject == "Our support changed your account"
    for part in ("Our support did this.", "Reason: Asked by phone", "Reply."):
        assert part in mail.body and part in mail.alternatives[0].content


@pytest.mark.parametrize(
    "value, text",
    [(True, "yes"), (False, "no"), ([], "none"), (["a", 1], "a, 1"), (None, "–"), ("", "–"), (0, "0")],
)
def test_values_are_written_as_text(value, text):
    assert staff_notices.as_text(value) == text
