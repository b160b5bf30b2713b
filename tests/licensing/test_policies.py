"""Nothing that staff do to a policy stops billing, or makes a name mean two things."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts import notifications
from accounts.models import AuditEntry, Organization
from billing.models import OrderItem, Product, Subscription
from licensing import licenses, policies, policy_changes, subscriptions
from licensing.models import License, LicenseFeature, Policy, PolicyFeature
from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import founded, page_of, person
from tests.licensing.conftest import NOW
from tests.licensing.orders import paid_item, price, product
from tests.licensing.test_subscriptions import change, item, pay, subscription

DAY = timedelta(days=1)
__all__ = ["item", "subscription"]  # fixtures


@pytest.fixture
def admin(db: None) -> Client:
    return page_of(person("sam@superagent.example", is_staff=True, is_superuser=True))


def form_of(policy: Policy, features: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """The admin's form, posted. `features` are all rows; one with an id is an existing one."""
    data = {
        "product_slug": policy.product_slug,
        "name": policy.name,
        "key_prefix": policy.key_prefix,
        "renewal_grace_days": "3",
        "payment_grace_days": "7",
        "max_activations": "20",
        "heartbeat_hours": "",
        "reason": "As agreed",
        "features-TOTAL_FORMS": str(len(features)),
        "features-INITIAL_FORMS": str(sum("id" in feature for feature in features)),
    }
    for index, feature in enumerate(features):
        data |= {f"features-{index}-policy": str(policy.pk)}
        data |= {f"features-{index}-{name}": str(value) for name, value in feature.items()}
    return data | fields


def rows_of(policy: Policy) -> list[dict[str, Any]]:
    with tenancy.system("test"):
        return [
            {"id": f.pk, "slug": f.slug, "action": f.action, "name": f.name, "limit": f.limit or ""}
            for f in policy.features.all()
        ]


# --- In the admin


def test_the_product_of_a_policy_cannot_be_changed(admin: Client, license_: License) -> None:
    policy = license_.policy
    address = reverse("admin:licensing_policy_change", args=[policy.pk])
    posted = form_of(policy, rows_of(policy), product_slug="another", name="Renamed")
    assert admin.post(address, posted).status_code == 302
    with tenancy.system("test"):
        policy.refresh_from_db()
    assert (policy.product_slug, policy.name) == ("nextpanel-professional", "Renamed")


def test_a_new_policy_needs_a_license_product(admin: Client, license_: License) -> None:
    posted = form_of(license_.policy, [], product_slug="no-such-product", name="New")
    response = admin.post(reverse("admin:licensing_policy_add"), posted)
    assert "There is no license product of this name" in response.content.decode()
    with tenancy.system("test"):
        product("nextpanel-ultimate")
    posted = form_of(license_.policy, [], product_slug="nextpanel-ultimate", name="New")
    assert admin.post(reverse("admin:licensing_policy_add"), posted).status_code == 302


@pytest.mark.parametrize(
    ("slug", "action"),
    [("mailboxes", "create_database"), ("create_database", "create_mailbox"), ("max_databases", "other")],
)
def test_a_name_that_would_mean_two_features_is_refused(
    admin: Client, license_: License, slug: str, action: str
) -> None:
    policy = license_.policy
    rows = [*rows_of(policy), {"slug": slug, "action": action, "name": "Mailboxes", "limit": 5}]
    response = admin.post(reverse("admin:licensing_policy_change", args=[policy.pk]), form_of(policy, rows))
    assert response.status_code == 200
    html = response.content.decode()
    assert "would mean both" in html or "duplicate data" in html
    with tenancy.system("test"):
        assert policy.features.count() == 3


# --- Who is told


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
    assert "works on for 3 days; until now it was 7 days." in text
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


# --- In billing


@pytest.mark.usefixtures("system_scope")
def test_an_action_that_moved_to_another_feature_moves_with_the_tier(subscription: Subscription) -> None:
    business = policies.of_product("nextpanel-business")
    business.features.filter(slug="databases").delete()
    PolicyFeature.objects.create(
        policy=business, slug="schemas", action="create_database", name="Schemas", limit=7
    )
    license_ = change(subscription, product=product("nextpanel-business"), price=price("nextpanel-business"))
    rows = dict(LicenseFeature.objects.filter(license=license_).values_list("slug", "action"))
    assert rows == {
        "databases": None,
        "schemas": "create_database",
        "domains": "create_domain",
        "emails": "create_email",
    }


@pytest.mark.usefixtures("system_scope")
def test_two_features_that_exchanged_their_actions_change_with_the_tier(subscription: Subscription) -> None:
    business = policies.of_product("nextpanel-business")
    for slug, action in (("databases", "a"), ("domains", "create_database"), ("databases", "create_domain")):
        business.features.filter(slug=slug).update(action=action)
    license_ = change(subscription, product=product("nextpanel-business"), price=price("nextpanel-business"))
    assert license_.features.get(slug="databases").action == "create_domain"
    assert license_.features.get(slug="domains").action == "create_database"


@pytest.mark.usefixtures("system_scope")
@pytest.mark.parametrize("fields", [{"status": "canceled", "ended_at": NOW + DAY}, {"status": "unpaid"}])
def test_a_missing_policy_stops_no_change_of_a_subscription(
    subscription: Subscription, fields: dict[str, Any]
) -> None:
    before = License.objects.get().policy
    Policy.objects.filter(pk=before.pk).update(product_slug="renamed-by-sql")
    license_ = change(subscription, now=NOW + DAY, **fields)
    assert license_.policy == before
    assert license_.status_at(NOW + 31 * DAY) == ("expired" if "ended_at" in fields else "suspended")


@pytest.mark.usefixtures("system_scope")
def test_a_payment_without_a_policy_is_kept_and_the_license_follows_when_staff_made_it(
    organization: Organization,
) -> None:
    bought = paid_item(organization, "nextpanel-ultimate")
    pay(bought)
    assert not License.objects.exists()
    message = OutboxMessage.objects.get(topic=subscriptions.ISSUE)
    outbox.deliver(message.pk)
    message.refresh_from_db()
    assert (message.state, "no license policy for the product" in message.last_error) == ("pending", True)
    Policy.objects.create(product_slug="nextpanel-ultimate", name="Ultimate")
    OutboxMessage.objects.filter(pk=message.pk).update(due_at=NOW - 400 * DAY)
    outbox.deliver(message.pk)
    assert License.objects.get().order_item == bought
    pay(bought)
    assert License.objects.count() == 1


@pytest.mark.usefixtures("system_scope")
def test_the_same_tier_twice_changes_nothing(subscription: Subscription, item: OrderItem) -> None:
    license_ = License.objects.get()
    licenses.change_policy(license_id=license_.pk, policy=policies.of_product(item.product.slug))
    assert Product.objects.get(slug="nextpanel-professional") == item.product
    assert license_.features.get(slug="databases").action == "create_database"
