"""Nothing that staff do to a policy stops billing, or makes a name mean two things."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Organization
from billing.models import OrderItem, Product, Subscription
from licensing import licenses, policies, subscriptions
from licensing.models import License, LicenseFeature, Policy, PolicyFeature
from superagent.foundation import outbox, tenancy
from superagent.foundation.models import OutboxMessage
from tests.accounts.conftest import page_of, person
from tests.licensing.conftest import NOW
from tests.licensing.orders import paid_item, price, product
from tests.licensing.policy_forms import form_of, rows_of
from tests.licensing.test_subscriptions import change, item, pay, subscription

DAY = timedelta(days=1)
__all__ = ["item", "subscription"]  # fixtures


@pytest.fixture
def admin(db: None) -> Client:
    return page_of(person("sam@superagent.example", is_staff=True, is_superuser=True))


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
    assert "There is no license product with this slug" in response.content.decode()
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
    assert "would refer to both" in html or "duplicate data" in html
    with tenancy.system("test"):
        assert policy.features.count() == 3


# --- Who is told


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
