"""Staff's pages: none shows a secret, none fails, facts cannot be changed, actions ask why."""

from typing import Any

import pytest
from django.contrib import admin
from django.urls import reverse

from accounts.models import AuditEntry, User
from billing.models import OverageCharge, Plan, Price, Subscription, WebhookEndpoint, WebhookEvent
from billing.stripe import endpoints, mirror
from metering.models import Meter, UsagePeriod
from superagent.foundation import tenancy
from superagent.foundation.models import OutboxMessage
from tests.billing.conftest import Customer
from tests.fixtures.staff import staff_client


class Staff:
    def __init__(self, **rights: Any) -> None:
        person = User.objects.create_user(
            "staff@example.com", "correct horse battery", full_name="S", is_staff=True, **rights
        )
        self.client = staff_client(person)

    def get(self, path: str) -> Any:
        with tenancy.isolated():
            return self.client.get(path)

    def post(self, path: str, data: dict[str, Any]) -> Any:
        with tenancy.isolated():
            return self.client.post(path, data, follow=True)


@pytest.fixture
def staff(customer: Customer) -> Staff:
    return Staff(is_superuser=True)


def act(staff: Staff, row: Any, action: str, reason: str = "asked by the customer") -> str:
    path = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist")
    body = {"action": action, "_selected_action": str(row.pk), "reason": reason}
    return str(staff.post(path, body).content.decode())


def test_no_page_of_the_admin_fails_or_shows_a_secret(staff: Staff, customer: Customer) -> None:
    customer.buy("pro", "month")
    with tenancy.system("test"):
        endpoints.register()
    assert WebhookEndpoint.objects.get().secret.startswith("whsec_")
    seen = 0
    for model, model_admin in admin.site._registry.items():
        options = model._meta
        paths = [reverse(f"admin:{options.app_label}_{options.model_name}_changelist")]
        paths += [
            reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])
            for row in model._default_manager.all()[:2]
        ]
        for path in paths:
            answer = staff.get(path)
            assert answer.status_code == 200, path
            body = answer.content.decode()
            assert "sk_test" not in body and "sk_live" not in body and "whsec_" not in body, path
            seen += 1
        assert model_admin
    assert seen > 40


def test_dj_stripes_own_admins_are_gone() -> None:
    shown = {model.__name__: type(model_admin).__module__ for model, model_admin in admin.site._registry.items()
             if model._meta.app_label == "djstripe"}  # fmt: skip
    assert set(shown) == set(mirror.SERVICES)
    assert set(shown.values()) == {"billing.admin.mirrored"}


def test_the_mirror_holds_what_was_bought_and_no_key(customer: Customer) -> None:
    from djstripe.models import APIKey, Charge, Invoice, PaymentIntent, PaymentMethod
    from djstripe.models import Customer as Mirrored
    from djstripe.models import Subscription as MirroredSubscription

    subscription = customer.buy("pro", "month")
    assert Mirrored.objects.get(id=customer.account.stripe_customer_id).subscriber == customer.organization
    assert MirroredSubscription.objects.filter(id=subscription.stripe_id).exists()
    for model in (Invoice, PaymentIntent, PaymentMethod, Charge):
        assert model.objects.exists(), model
    assert not APIKey.objects.exists()


def test_facts_cannot_be_changed(staff: Staff, customer: Customer) -> None:
    subscription = customer.buy("pro", "month")
    path = reverse("admin:billing_subscription_change", args=[subscription.pk])
    assert 'name="_save"' not in staff.get(path).content.decode()
    staff.post(path, {"status": "canceled"})
    subscription.refresh_from_db()
    assert subscription.status == "active"


def test_an_event_is_replayed_with_a_reason_only(staff: Staff, customer: Customer) -> None:
    customer.buy("pro", "month")
    event = WebhookEvent.objects.filter(state="done").first()
    WebhookEvent.objects.filter(pk=event.pk).update(state="dead")
    assert "Enter a reason" in act(staff, event, "replay", reason="")
    event.refresh_from_db()
    assert event.state == "dead"
    act(staff, event, "replay")
    event.refresh_from_db()
    assert event.state == "pending"
    entry = AuditEntry.objects.get(action="webhook_event.replayed")
    assert entry.detail == {"reason": "asked by the customer"} and entry.actor.email == "staff@example.com"


def test_looking_is_not_acting(customer: Customer) -> None:
    from django.contrib.auth.models import Permission

    subscription = customer.buy("pro", "month")
    looker = Staff()
    person = User.objects.get(email="staff@example.com")
    person.user_permissions.add(
        Permission.objects.get(codename="view_subscription", content_type__app_label="billing")
    )
    assert "permission to change these" in act(looker, subscription, "cancel_at_period_end")
    subscription.refresh_from_db()
    assert not subscription.cancel_at_period_end


def test_staff_cancel_and_waive(staff: Staff, customer: Customer) -> None:
    subscription = customer.buy("pro", "month")
    act(staff, subscription, "cancel_at_period_end")
    assert Subscription.objects.get(pk=subscription.pk).cancel_at_period_end
    period = UsagePeriod.objects.filter(organization=customer.organization).first()
    charge = OverageCharge.objects.create(
        organization=customer.organization, period=period,
        meter=Meter.objects.first(), quantity=1, amount=5, currency="usd", description="x",
    )  # fmt: skip
    act(staff, charge, "waive")
    charge.refresh_from_db()
    assert (charge.status, charge.reason) == ("waived", "asked by the customer")


def test_a_price_that_was_sold_is_fixed_and_a_plan_changes_by_a_new_version(
    staff: Staff, customer: Customer
) -> None:
    customer.buy("pro", "month")
    price = Price.objects.get(product__slug="pro", interval="month")
    page = staff.get(reverse("admin:billing_price_change", args=[price.pk])).content.decode()
    assert 'name="unit_amount"' not in page and 'name="is_active"' in page
    plan = Plan.objects.get(product__slug="pro")
    act(staff, plan, "make_version")
    copy = Plan.objects.get(product__slug="pro", version=2)
    assert not copy.is_published and copy.allowances.count() == 3 and copy.prices.count() == 2
    act(staff, copy, "publish")
    copy.refresh_from_db()
    assert copy.is_published and not Plan.objects.get(pk=plan.pk).is_published
    assert OutboxMessage.objects.filter(topic="billing.push_catalog").exists()
    assert customer.account.plan == plan  # who bought version 1 keeps it
