"""A changed grace is mailed to customers with a license; other changes only to superusers."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts import notifications
from accounts.models import AuditEntry, Organization
from licensing import policy_changes
from licensing.models import License, LicenseFeature
from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import founded, person
from tests.licensing.policy_forms import form_of, rows_of


def mailed(template: str) -> list[OutboxMessage]:
    """What was written to customers by `template`, after all that led to it was worked off."""
    while outbox.sweep():
        pass
    with tenancy.system("test"):
        found = OutboxMessage.objects.filter(topic="accounts.send_mail", payload__template=template)
        return list(found.order_by("id"))


@pytest.mark.django_db(transaction=True)
def test_a_changed_grace_is_mailed_to_who_has_a_license_with_the_reason(
    admin: Client, organization: Organization, other_organization: Organization, make_license: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The graces are the only terms of a policy that count for licenses in use: one mail for each organization."""
    monkeypatch.setattr(policy_changes, "BATCH", 1)
    first, *_ = [make_license(who) for who in (organization, organization, other_organization)]
    policy = first.policy
    starter = founded("Starter", person("stella@starter.example"))
    make_license(starter, "nextpanel-starter")
    gone = founded("Gone", person("gus@gone.example"))
    with tenancy.system("test"):
        License.objects.filter(pk=make_license(gone).pk).update(status=License.Status.REVOKED)
    address = reverse("admin:licensing_policy_change", args=[policy.pk])
    posted = form_of(policy, rows_of(policy), payment_grace_days="3", reason="Too many never paid")
    assert admin.post(address, posted).status_code == 302
    mails = mailed(policy_changes.TEMPLATE)
    assert sorted(mail.payload["to"] for mail in mails) == sorted(
        [[organization.email], [other_organization.email]]
    )
    text = notifications.render(**mails[0].payload).body
    assert "works for another 3 days. Before, it was 7 days." in text
    assert "Reason: Too many never paid" in text
    with tenancy.system("test"):
        entries = AuditEntry.objects.filter(action="license.terms_changed")
        assert {entry.organization_id for entry in entries} == {organization.pk, other_organization.pk}
        detail = {
            "changes": {"payment_grace_days": {"from": 7, "to": 3}}, "reason": "Too many never paid"
        }  # fmt: skip
        assert [entry.detail for entry in entries] == [detail] * 2
        for message in OutboxMessage.objects.filter(topic=policy_changes.TOPIC):
            policy_changes.tell_next(message.payload)  # delivered once more, as after a kill
        assert AuditEntry.objects.filter(action="license.terms_changed").count() == 2
    assert len(mailed(policy_changes.TEMPLATE)) == 2


@pytest.mark.django_db(transaction=True)
def test_what_counts_for_new_licenses_only_is_mailed_to_no_customer(admin: Client, license_: License) -> None:
    policy = license_.policy
    rows = rows_of(policy)
    rows[0]["limit"] = 7
    address = reverse("admin:licensing_policy_change", args=[policy.pk])
    assert admin.post(address, form_of(policy, rows, max_activations="3")).status_code == 302
    assert mailed(policy_changes.TEMPLATE) == []
    assert [mail.payload["to"] for mail in mailed("accounts/email/staff_change")] == [
        ["sam@superagent.example"]
    ]
    with tenancy.system("test"):
        entry = AuditEntry.objects.get(action="policy.changed_by_staff")
        assert entry.detail["reason"] == "As agreed"
        assert LicenseFeature.objects.get(license=license_, slug="databases").limit == 50
