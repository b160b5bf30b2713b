"""What a license is: the same for validation, lists, filters and staff, at every moment, whatever came late or not at
all."""

import itertools
import json
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organization
from accounts.roles import Scope
from billing.models import Subscription
from licensing import issued_keys, licenses, overview
from licensing.models import License
from superagent.foundation import tenancy
from tests.accounts.conftest import founded, key_of, page_of, person
from tests.licensing.conftest import NOW
from tests.licensing.test_subscriptions import change, item, subscription

DAY = timedelta(days=1)
Status = License.Status
__all__ = ["item", "subscription"]  # fixtures


# --- One rule, in Python and in SQL

DATES = (None, NOW - DAY, NOW, NOW + DAY)
STORED = [(status, "") for status in Status if status != Status.SUSPENDED] + [
    (Status.SUSPENDED, "payment"),
    (Status.SUSPENDED, "manual"),
]


@pytest.mark.parametrize("is_on_test_clock", [False, True])
def test_sql_and_python_agree_on_every_state(
    system_scope: None, organization: Organization, make_license, *, is_on_test_clock: bool
) -> None:
    license_ = make_license(organization)
    if is_on_test_clock:
        Organization.objects.filter(pk=organization.pk).update(test_clock_time=NOW)
    real_now = NOW + 400 * DAY if is_on_test_clock else NOW
    for (status, reason), expires_at, suspends_at in itertools.product(STORED, DATES, DATES):
        License.objects.filter(pk=license_.pk).update(
            status=status, suspension_reason=reason, expires_at=expires_at, suspends_at=suspends_at
        )
        row = License.objects.with_status(real_now).get(pk=license_.pk)
        case = f"{status}/{reason}, expires {expires_at}, suspends {suspends_at}"
        assert row.status_now == row.status_at(NOW), case
        due = License.objects.due_on_test_clocks() if is_on_test_clock else License.objects.due(real_now)
        is_due = due.filter(pk=license_.pk).exists()
        assert is_due == (row.status_at(NOW) != row.status), case


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ({}, "active"),
        ({"expires_at": NOW - 400 * DAY}, "expired"),
        ({"suspends_at": NOW - 400 * DAY}, "suspended"),
        ({"status": "suspended", "suspension_reason": "manual", "expires_at": NOW - 400 * DAY}, "suspended"),
    ],
)
def test_validation_list_filter_page_and_admin_say_the_same_before_the_job_ran(
    client: Client, make_license, dates: dict, expected: str
) -> None:
    acme = founded("Acme", person("olga@acme.example"))
    license_ = make_license(acme)
    with tenancy.system("test"):
        License.objects.filter(pk=license_.pk).update(**dates)
    key = issued_keys.reveal(license_=license_, actor=None)
    body = json.dumps({"license_key": key})
    answer = client.post("/api/v1/licenses/validate", body, content_type="application/json").json()
    assert answer["license"]["status"] == expected
    api = key_of(acme, Scope.LICENSES_READ)
    for status in Status.values:
        found = api.get(f"licenses?status={status}").json()["data"]
        assert [entry["status"] for entry in found] == ([expected] if status == expected else []), status
    with tenancy.tenant(acme):
        assert [row.status for row in overview.rows(overview.licenses_of(acme), timezone.now())] == [expected]
    admin = page_of(person("sam@superagent.example", is_staff=True, is_superuser=True))
    for status in Status.values:
        html = admin.get(reverse("admin:licensing_license_changelist"), {"status": status}).content.decode()
        assert (license_.masked_key in html) is (status == expected), status


# --- What staff hold


# --- Late and missing facts


def test_a_failed_payment_gets_its_grace_whether_it_is_heard_before_or_after_the_expiry(
    system_scope: None, make_license, organization: Organization
) -> None:
    early, late = (make_license(organization, renews_at=NOW) for _ in range(2))
    licenses.start_payment_grace(license_id=early.pk, since=NOW, now=NOW)
    licenses.sync_due_statuses(now=NOW + 4 * DAY)
    late.refresh_from_db()
    assert late.status == Status.EXPIRED
    licenses.start_payment_grace(license_id=late.pk, since=NOW, now=NOW + 5 * DAY)
    for license_ in (early, late):
        license_.refresh_from_db()
        assert license_.status_at(NOW + 7 * DAY - timedelta(seconds=1)) == Status.ACTIVE
        assert license_.status_at(NOW + 7 * DAY) == Status.SUSPENDED


@pytest.mark.usefixtures("system_scope")
def test_one_renewed_unheard_and_then_canceled_lasts_as_long_as_was_paid(subscription: Subscription) -> None:
    """The webhook of the renewal to day 60 was lost; the first that is heard is the end, on day 40."""
    license_ = change(
        subscription,
        now=NOW + 40 * DAY,
        status="canceled",
        ended_at=NOW + 40 * DAY,
        current_period_end=NOW + 60 * DAY,
    )
    assert license_.status_at(NOW + 59 * DAY) == Status.ACTIVE
    assert license_.status_at(NOW + 60 * DAY) == Status.EXPIRED


@pytest.mark.usefixtures("system_scope")
def test_one_ended_for_nonpayment_ends_at_once_even_if_the_failures_were_not_heard(
    subscription: Subscription,
) -> None:
    license_ = change(
        subscription,
        now=NOW + 50 * DAY,
        status="canceled",
        ended_at=NOW + 50 * DAY,
        current_period_end=NOW + 60 * DAY,
        ended_for_nonpayment=True,
    )
    assert license_.status == Status.EXPIRED


@pytest.mark.usefixtures("system_scope")
def test_one_whose_first_payment_is_not_through_is_pending(
    client: Client, subscription: Subscription
) -> None:
    license_ = change(subscription, status="incomplete")
    key = issued_keys.reveal(license_=license_, actor=None)
    body = json.dumps({"license_key": key})
    answer = client.post("/api/v1/licenses/validate", body, content_type="application/json").json()
    assert (answer["code"], answer["license"]["status"]) == ("PENDING", "pending")
    with tenancy.system("test"):
        assert change(subscription, status="active").status == Status.ACTIVE


# --- Dates while a payment is overdue


@pytest.mark.usefixtures("system_scope")
def test_a_panel_is_told_when_an_unpaid_license_stops(client: Client, subscription: Subscription) -> None:
    since = timezone.now()
    license_ = change(
        subscription,
        now=since,
        status="past_due",
        past_due_since=since,
        current_period_end=since + 30 * DAY,
    )
    key = issued_keys.reveal(license_=license_, actor=None)
    body = json.dumps({"license_key": key})
    answer = client.post("/api/v1/licenses/validate", body, content_type="application/json").json()
    assert answer["code"] == "VALID"
    stops = (since + 7 * DAY).isoformat().replace("+00:00", "Z")
    assert (answer["license"]["expires_at"], answer["license"]["suspends_at"]) == (stops, stops)
    listed = key_of(license_.organization, Scope.LICENSES_READ).get(f"licenses/{license_.pk}").json()
    assert (listed["expires_at"], listed["suspends_at"]) == (stops, stops)


# --- What is told
