"""The admin of licenses: actions with a reason, what becomes of the subscription, and no keys."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, Organization
from licensing import activations, vault
from licensing.models import License
from licensing.subscriptions import issue_for
from superagent.foundation import tenancy
from tests.licensing.conftest import ANY_KEY, NOW
from tests.licensing.orders import paid_item, subscribe


def act(admin: Client, action: str, license_: License, **more: str):
    data = {"action": action, "_selected_action": str(license_.pk)} | more
    return admin.post(reverse("admin:licensing_license_changelist"), data)


def test_staff_actions_ask_for_a_reason_and_keep_it(admin: Client, acme: Organization, make_license) -> None:
    license_ = make_license(acme)
    preview = act(admin, "suspend", license_)
    assert preview.status_code == 200
    assert license_.masked_key in preview.content.decode()
    assert act(admin, "suspend", license_, confirmed="yes", reason="").status_code == 200
    assert act(admin, "suspend", license_, confirmed="yes", reason="Abuse").status_code == 302
    with tenancy.system("test"):
        license_.refresh_from_db()
        entry = AuditEntry.objects.get(action="license.suspended")
    assert (license_.status, license_.suspension_reason, license_.note) == ("suspended", "manual", "Abuse")
    assert (entry.actor.email, entry.detail) == ("sam@superagent.example", {"reason": "Abuse"})
    act(admin, "reinstate", license_, confirmed="yes", reason="Sorted out")
    act(admin, "revoke", license_, confirmed="yes", reason="Charged back")
    with tenancy.system("test"):
        license_.refresh_from_db()
    assert license_.status == "revoked"


@pytest.mark.parametrize(
    ("action", "consequence"),
    [
        (
            "suspend",
            "Renewals are not charged while it is suspended. The next would be $9.00 on Dec 20, 2026.",
        ),
        ("revoke", "Its subscription ends immediately: $9.00 on Dec 20, 2026 is not charged."),
        ("reinstate", "Renewals are charged again. The next is $9.00 on Dec 20, 2026."),
    ],
)
def test_staff_read_what_becomes_of_the_subscription_before_they_confirm(
    admin: Client, acme: Organization, action: str, consequence: str
) -> None:
    item = paid_item(acme, "nextpanel-starter")
    with tenancy.system("test"):
        subscribe(item)
        license_ = issue_for(item=item, now=NOW)
    assert consequence in act(admin, action, license_).content.decode()


@pytest.mark.parametrize(
    ("action", "consequence"),
    [
        ("suspend", "Its subscription is canceled. It ends on Dec 20, 2026 and is not charged again."),
        ("reinstate", "Its subscription is canceled. It ends on Dec 20, 2026 and is not charged again."),
        ("revoke", "Its subscription ends immediately instead of on Dec 20, 2026."),
    ],
)
def test_staff_are_told_of_no_renewal_that_the_customer_has_canceled(
    admin: Client, acme: Organization, action: str, consequence: str
) -> None:
    item = paid_item(acme, "nextpanel-starter")
    with tenancy.system("test"):
        subscribe(item, cancel_at_period_end=True)
        license_ = issue_for(item=item, now=NOW)
    page = act(admin, action, license_).content.decode()
    assert consequence in page
    assert "$9.00" not in page


def test_staff_free_the_place_of_a_dead_server(admin: Client, acme: Organization, make_license) -> None:
    license_ = make_license(acme)
    key = vault.decrypt(license_.key_encrypted)
    seat = activations.activate(license_key=key, fingerprint="server-1", label="web-1")
    address = reverse("admin:licensing_activation_changelist")
    assert "web-1" in admin.get(address).content.decode()
    posted = {"action": "free", "_selected_action": str(seat.activation.pk), "reason": "Burnt down"}
    admin.post(address, posted)
    with tenancy.system("test"):
        assert not license_.activations.exists()
        assert AuditEntry.objects.filter(action="license.server_removed", organization=acme).exists()


def test_the_admin_shows_no_key(admin: Client, acme: Organization, make_license) -> None:
    license_ = make_license(acme)
    for address in (
        reverse("admin:licensing_license_changelist"),
        reverse("admin:licensing_license_change", args=[license_.pk]),
    ):
        response = admin.get(address)
        assert response.status_code == 200
        assert not ANY_KEY.search(response.content.decode())


def test_policies_can_be_edited(admin: Client) -> None:
    assert admin.get(reverse("admin:licensing_policy_changelist")).status_code == 200
    assert admin.get(reverse("admin:licensing_policy_add")).status_code == 200
