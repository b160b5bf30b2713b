"""The dashboard composes every app: what it says first to a newcomer, and what it warns of."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organization, User
from accounts.roles import Role
from accounts.templatetags.audit_labels import action_label
from billing.catalog import seed
from billing.models import Invoice
from licensing import licenses
from metering.models import Quota
from metering.quotas import periods
from superagent.foundation import tenancy
from tests.accounts.conftest import founded, join, key_of, page_of, person
from tests.licensing.conftest import issued


@pytest.fixture
def owner(db: None) -> User:
    with tenancy.system("test"):
        seed.write()
    return person("olga@acme.example", verified=False)


@pytest.fixture
def acme(owner: User) -> Organization:
    return founded("Acme", owner)


def html(user: User) -> str:
    response = page_of(user).get(reverse("dashboard"))
    assert response.status_code == 200
    return response.content.decode()


def test_strangers_log_in_first(client: Client, db: None) -> None:
    response = client.get(reverse("dashboard"))
    assert (response.status_code, response["Location"]) == (302, "/accounts/login/?next=/dashboard/")


def test_a_newcomer_sees_three_steps(owner: User, acme: Organization) -> None:
    page = html(owner)
    for text in ("Get started", "Confirm your email address", "Create an API key", "Make the first call"):
        assert text in page
    assert "No calls in the last 30 days" in page
    assert 'data-stream-url="/api/v1/usage/stream"' in page


def test_the_steps_go_when_all_are_done(owner: User, acme: Organization) -> None:
    from allauth.account.models import EmailAddress

    EmailAddress.objects.filter(user=owner).update(verified=True)
    api = key_of(acme)
    with tenancy.system("test"):
        period = periods.ensure(organization=acme, now=timezone.now())
        Quota.objects.filter(period=period, meter__slug="api_requests").update(used=1)
    assert api.get("quotas").status_code == 200
    assert "Get started" not in html(owner)


def _exhaust(organization: Organization, used: int) -> None:
    with tenancy.system("test"):
        period = periods.ensure(organization=organization, now=timezone.now())
        Quota.objects.filter(period=period, meter__slug="ai_tokens").update(used=used)


@pytest.mark.parametrize(
    ("used", "text"), [(7_999, ""), (8_000, "AI tokens: 80% used"), (10_000, "AI tokens are used up")]
)
def test_an_allowance_that_runs_out_is_told(owner: User, acme: Organization, used: int, text: str) -> None:
    _exhaust(acme, used)
    page = html(owner)
    assert text in page
    assert ("AI tokens are used up" in page) == (used >= 10_000)


def test_money_owed_comes_before_everything(owner: User, acme: Organization) -> None:
    _exhaust(acme, 10_000)
    now = timezone.now()
    with tenancy.system("test"):
        licenses.suspend_for_payment(license_id=issued(acme).pk, now=timezone.now())
        Invoice.objects.create(
            organization=acme, stripe_id="in_1", status="open", currency="usd", subtotal=2900, total=2900,
            amount_due=2900, amount_paid=0, amount_remaining=2900, attempt_count=1, created_at=now,
            period_start=now - timedelta(days=30), period_end=now, hosted_url="https://pay.stripe.example/in_1",
        )  # fmt: skip
    page = html(owner)
    assert "$29.00" in page
    assert reverse("billing") in page
    assert "Its control panels are refused" not in page
    assert "AI tokens are used up" not in page


def test_a_suspended_license_is_told(owner: User, acme: Organization) -> None:
    with tenancy.system("test"):
        licenses.suspend_for_payment(license_id=issued(acme).pk, now=timezone.now())
    assert "NextPanel Professional is suspended" in html(owner)


def test_a_viewer_sees_no_money(acme: Organization) -> None:
    page = html(join(acme, "vic@acme.example", Role.VIEWER))
    assert "Next invoice" not in page


def test_a_viewer_is_not_told_to_do_what_only_others_may(acme: Organization) -> None:
    _exhaust(acme, 10_000)
    page = html(join(acme, "vera@acme.example", Role.VIEWER))
    assert "AI tokens are used up" in page
    assert "Create an API key" not in page
    assert "Compare plans" not in page


def test_one_organization_does_not_see_the_other(owner: User, acme: Organization) -> None:
    stranger = person("gus@globex.example")
    founded("Globex", stranger)
    license_ = issued(acme)
    page = html(stranger)
    assert license_.masked_key not in page
    assert "Acme" not in page


def test_it_costs_a_fixed_number_of_queries(
    owner: User, acme: Organization, django_assert_max_num_queries
) -> None:
    for _ in range(4):
        issued(acme)
    client = page_of(owner)
    client.get(reverse("dashboard"))
    with django_assert_max_num_queries(28):
        client.get(reverse("dashboard"))


def test_audit_actions_read_as_sentences() -> None:
    assert action_label("api_key.created") == "API key created"
    assert action_label("license.key_rotated") == "License key rotated"


def test_the_workbench_counts_what_waits(db: None) -> None:
    from superagent.foundation import outbox

    with tenancy.system("test"):
        outbox.enqueue(topic="test.nothing", payload={})
    staff = page_of(person("sam@superagent.example", is_staff=True, is_superuser=True))
    page = staff.get(reverse("admin:index")).content.decode()
    assert "Outbox: due and not delivered" in page
    assert "<strong>1</strong>" in page
    assert "/admin/foundation/outboxmessage/?state__exact=pending" in page


def test_only_staff_enter_the_workbench(owner: User, acme: Organization) -> None:
    assert page_of(owner).get(reverse("admin:index")).status_code == 302
