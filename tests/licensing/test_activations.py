"""How many servers a license lets run, whatever happens at once, and that asking about one never reads them all."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry, Organization
from licensing import activations, issued_keys, keys, licenses, policies, usage
from licensing.models import UNSTATED_ACTIVATIONS, Activation, FeatureUsage, License, Policy
from licensing.tasks import forget_old_license_records
from licensing.usage import LicenseRefused, Report
from superagent.foundation import tenancy
from superagent.foundation.identifiers import first_at
from superagent.foundation.problems import NotFound
from tests.licensing.conftest import NOW
from tests.licensing.test_usage import at_once

DAY = timedelta(days=1)


def post(client: Client, action: str, **body: Any):
    return client.post(f"/api/v1/licenses/{action}", json.dumps(body), content_type="application/json")


def activate(key: str, fingerprint: str) -> activations.Seat:
    return activations.activate(license_key=key, fingerprint=fingerprint, label="")


def crowd(license_: License, number: int, seen_at=None) -> None:
    """Servers as they are in the table, however they came there."""
    with tenancy.system("test"):
        Activation.objects.bulk_create(
            Activation(
                organization_id=license_.organization_id,
                license=license_,
                fingerprint=f"crowd-{index}",
                activated_at=NOW,
                last_heartbeat_at=seen_at or timezone.now(),
            )
            for index in range(number)
        )


@pytest.fixture
def beating(organization: Organization, make_license) -> tuple[License, str]:
    """Five servers at a time, each heard of every 24 hours."""
    with tenancy.system("test"):
        Policy.objects.filter(product_slug="nextpanel-starter").update(
            max_activations=5, requires_activation=True, heartbeat_hours=24
        )
    license_ = make_license(organization, "nextpanel-starter")
    return license_, issued_keys.reveal(license_=license_, actor=None)


# --- The limit


@pytest.mark.parametrize("tier", policies.NEXTPANEL, ids=lambda tier: tier.slug)
def test_every_shipped_tier_has_a_limit_and_asks_for_no_fingerprint(
    client: Client, organization: Organization, make_license, tier: policies.Tier
) -> None:
    license_ = make_license(organization, tier.slug)
    key = issued_keys.reveal(license_=license_, actor=None)
    assert license_.activation_limit == tier.servers
    crowd(license_, tier.servers)
    refused = post(client, "activate", license_key=key, fingerprint="one more")
    assert (refused.status_code, refused.json()["code"]) == (409, "TOO_MANY_ACTIVATIONS")
    assert post(client, "validate", license_key=key).json()["code"] == "VALID"


def test_a_policy_without_a_number_has_a_limit_too(organization: Organization, make_license) -> None:
    with tenancy.system("test"):
        Policy.objects.filter(product_slug="nextpanel-starter").update(max_activations=None)
    license_ = make_license(organization, "nextpanel-starter")
    crowd(license_, UNSTATED_ACTIVATIONS)
    with pytest.raises(LicenseRefused, match="All 100 activations are in use"):
        activate(issued_keys.reveal(license_=license_, actor=None), "one more")


@pytest.mark.django_db(transaction=True)
def test_many_servers_at_once_fill_the_limit_exactly(beating: tuple[License, str]) -> None:
    """Heartbeats and servers that left go on at the same time."""
    license_, key = beating
    crowd(license_, 2, seen_at=timezone.now() - 2 * DAY)  # dead: they make room
    activate(key, "steady")

    def work(index: int) -> Any:
        if index % 4 == 3:
            return activations.heartbeat(license_key=key, fingerprint="steady")
        return activate(key, f"server-{index}")

    outcomes = at_once(16, work)
    assert sum(isinstance(outcome, activations.Seat) for outcome in outcomes) == 4 + 4
    assert sum(isinstance(outcome, LicenseRefused) for outcome in outcomes) == 8
    with tenancy.system("test"):
        assert license_.activations.count() == 5


def test_one_that_was_alive_before_the_limit_was_lowered_stays(beating: tuple[License, str]) -> None:
    license_, key = beating
    for name in ("a", "b", "c"):
        activate(key, name)
    with tenancy.system("test"):
        License.objects.filter(pk=license_.pk).update(max_activations=2)
    assert activate(key, "a").taken == 3
    with pytest.raises(LicenseRefused):
        activate(key, "d")


def test_silent_servers_are_not_counted_in_any_answer(client: Client, beating: tuple[License, str]) -> None:
    license_, key = beating
    crowd(license_, 2, seen_at=timezone.now() - 2 * DAY)
    for count, name in enumerate(("a", "b", "c"), 1):
        assert post(client, "activate", license_key=key, fingerprint=name).json()["activations"] == count
    assert post(client, "heartbeat", license_key=key, fingerprint="a").json()["activations"] == 3
    unknown = post(client, "validate", license_key=key, fingerprint="d").json()
    assert unknown["code"] == "NOT_ACTIVATED"
    left = post(client, "deactivate", license_key=key, fingerprint="a").json()
    assert (left["activations"], left["max_activations"]) == (2, 5)


# --- What it costs


def rows_read(queryset) -> int:
    """Rows of activations that PostgreSQL touched for this query."""
    with tenancy.system("test"):
        plan = json.loads(queryset.explain(analyze=True, format="json"))[0]["Plan"]

    def walk(node: dict[str, Any]) -> Iterator[int]:
        if node.get("Relation Name") == Activation._meta.db_table:
            yield (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for child in node.get("Plans", ()):
            yield from walk(child)

    return int(sum(walk(plan)))


def test_validation_reads_one_activation_of_thousands(beating: tuple[License, str]) -> None:
    license_, key = beating
    crowd(license_, 3000)
    with tenancy.system("test"), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    found = License.objects.with_key(keys.digest(keys.canonical(key)))
    assert rows_read(found.for_validation("crowd-7")) == 1
    assert rows_read(found.for_validation()) == 0


def test_an_active_server_costs_one_query(
    client: Client, beating: tuple[License, str], django_assert_num_queries
) -> None:
    _, key = beating
    activate(key, "a")
    with django_assert_num_queries(1):
        assert post(client, "validate", license_key=key, fingerprint="a").json()["code"] == "VALID"


def test_a_new_server_on_a_crowded_license_is_refused_by_a_bounded_count(
    beating: tuple[License, str], django_assert_max_num_queries
) -> None:
    license_, key = beating
    crowd(license_, 3000)
    with django_assert_max_num_queries(12), pytest.raises(LicenseRefused):
        activate(key, "one more")
    others = license_.activations.order_by()
    assert rows_read(others[: license_.activation_limit]) == license_.activation_limit


# --- Checked again under the lock


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("question", ["usage", "heartbeat", "activate"])
def test_a_suspension_that_commits_while_a_panel_waits_is_heeded(
    organization: Organization, make_license, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    license_ = make_license(organization)
    key = issued_keys.reveal(license_=license_, actor=None)
    activate(key, "a")
    find = usage.license_with_key

    def found_then_suspended(license_key: str) -> License:
        found = find(license_key)
        with tenancy.system("test"), transaction.atomic():
            licenses.suspend_for_payment(license_id=license_.pk, now=NOW)
        return found

    monkeypatch.setattr(f"licensing.{'usage' if question == 'usage' else 'activations'}.license_with_key",
                        found_then_suspended)  # fmt: skip
    with pytest.raises(LicenseRefused) as refusal:
        if question == "usage":
            usage.apply(Report(license_key=key, feature="databases", delta=1, used=None, idempotency_key="a"))
        else:
            getattr(activations, question)(license_key=key, fingerprint="a", **(
                {"label": ""} if question == "activate" else {}
            ))  # fmt: skip
    assert refusal.value.code == "SUSPENDED"
    with tenancy.system("test"):
        assert not FeatureUsage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_reports_under_the_license_lock_do_not_deadlock(organization: Organization, make_license) -> None:
    license_ = make_license(organization)
    key = issued_keys.reveal(license_=license_, actor=None)

    def work(index: int) -> Any:
        if index % 2:
            return activate(key, f"server-{index % 4}")
        return usage.apply(
            Report(
                license_key=key, feature="databases", delta=1, used=None, idempotency_key=f"report-{index}"
            )
        )

    assert [outcome for outcome in at_once(16, work) if isinstance(outcome, Exception)] == []
    with tenancy.system("test"):
        assert license_.features.get(slug="databases").used == 8


# --- Freed by hand, and forgotten


def test_a_dead_server_is_freed_by_hand(system_scope: None, beating: tuple[License, str]) -> None:
    license_, key = beating
    seat = activate(key, "a")
    activations.remove(license_=license_, activation_id=seat.activation.pk)
    assert not license_.activations.exists()
    entry = AuditEntry.objects.get(action="license.server_removed")
    assert (entry.organization, entry.detail["fingerprint"]) == (license_.organization, "a")
    with pytest.raises(NotFound):
        activations.remove(license_=license_, activation_id=seat.activation.pk)


def test_another_license_server_is_not_freed(
    system_scope: None, beating: tuple[License, str], license_: License
) -> None:
    _, key = beating
    with pytest.raises(NotFound):
        activations.remove(license_=license_, activation_id=activate(key, "a").activation.pk)


@pytest.mark.parametrize(
    ("silent_days", "terms", "remains"),
    [
        (179, {}, True),
        (181, {}, False),
        (181, {"requires_activation": True}, True),  # no heartbeat is asked of it, so silence says nothing
        (181, {"requires_activation": True, "status": "revoked"}, False),
        (181, {"requires_activation": True, "heartbeat_hours": 24}, False),
    ],
)
def test_servers_that_were_silent_for_half_a_year_are_forgotten(
    license_: License, silent_days: int, terms: dict[str, Any], *, remains: bool
) -> None:
    crowd(license_, 3, seen_at=timezone.now() - timedelta(days=silent_days))
    with tenancy.system("test"):
        License.objects.filter(pk=license_.pk).update(**terms)
    forgotten = forget_old_license_records()
    with tenancy.system("test"):
        assert license_.activations.count() == (3 if remains else 0)
    assert forgotten["activations"] == (0 if remains else 3)


def test_reports_are_kept_for_ninety_days(
    license_: License, license_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "BATCH", 2)
    with tenancy.system("test"):
        FeatureUsage.objects.bulk_create(
            FeatureUsage(
                pk=first_at(timezone.now() - day * DAY),
                organization_id=license_.organization_id,
                license=license_,
                idempotency_key=f"day-{day}",
                body_hash=b"",
                feature_slug="databases",
                reported_at=NOW,
            )
            for day in (100, 95, 91, 89, 0)
        )
    assert forget_old_license_records()["reports"] == 3
    with tenancy.system("test"):
        assert set(FeatureUsage.objects.values_list("idempotency_key", flat=True)) == {"day-89", "day-0"}
