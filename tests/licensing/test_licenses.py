"""The life of a license, by dates and by what staff do."""

from datetime import timedelta

import pytest

from accounts.models import AuditEntry, Organization, User
from licensing import licenses, moderation, policies, vault
from licensing.models import License, LicenseFeature
from superagent.foundation import tenancy
from tests.licensing.conftest import NOW

DAY = timedelta(days=1)
Status = License.Status


@pytest.fixture
def staff(system_scope: None) -> User:
    return User.objects.create_user(email="staff@superagent.example", full_name="Sam Staff", is_staff=True)


def status(license_: License, now=NOW) -> str:
    license_.refresh_from_db()
    return license_.status_at(now)


def test_a_license_includes_what_its_policy_says(system_scope: None, license_: License) -> None:
    rows = LicenseFeature.objects.filter(license=license_).values_list("slug", "action", "limit", "used")
    assert list(rows) == [
        ("databases", "create_database", 50, 0),
        ("domains", "create_domain", 25, 0),
        ("emails", "create_email", 100, 0),
    ]


def test_renewal_moves_the_end_by_the_grace(system_scope: None, license_: License) -> None:
    licenses.renew(license_id=license_.pk, renews_at=NOW + 30 * DAY, is_ending=False, now=NOW)
    assert status(license_, NOW + 33 * DAY - timedelta(seconds=1)) == Status.ACTIVE
    assert status(license_, NOW + 33 * DAY) == Status.EXPIRED


def test_one_that_ends_with_its_period_gets_no_grace(system_scope: None, license_: License) -> None:
    licenses.renew(license_id=license_.pk, renews_at=NOW + 30 * DAY, is_ending=True, now=NOW)
    assert status(license_, NOW + 30 * DAY) == Status.EXPIRED


def test_a_failed_payment_suspends_after_the_grace_and_payment_lifts_it(
    system_scope: None, license_: License
) -> None:
    licenses.start_payment_grace(license_id=license_.pk, since=NOW, now=NOW)
    licenses.start_payment_grace(
        license_id=license_.pk, since=NOW, now=NOW + 3 * DAY
    )  # a further attempt failed
    assert status(license_, NOW + 7 * DAY - timedelta(seconds=1)) == Status.ACTIVE
    assert status(license_, NOW + 7 * DAY) == Status.SUSPENDED
    assert licenses.sync_due_statuses(now=NOW + 7 * DAY) == 1
    license_.refresh_from_db()
    assert (license_.status, license_.suspension_reason) == (Status.SUSPENDED, "payment")
    licenses.renew(license_id=license_.pk, renews_at=NOW + 30 * DAY, is_ending=False, now=NOW)
    assert status(license_, NOW + 8 * DAY) == Status.ACTIVE


def test_payment_does_not_lift_what_staff_suspended(
    system_scope: None, license_: License, staff: User
) -> None:
    licenses.suspend_for_payment(license_id=license_.pk, now=NOW)
    moderation.suspend(license_id=license_.pk, reason="Abuse report", actor=staff, now=NOW)
    licenses.renew(license_id=license_.pk, renews_at=NOW + 30 * DAY, is_ending=False, now=NOW)
    assert status(license_) == Status.SUSPENDED
    moderation.reinstate(license_id=license_.pk, reason="Settled", actor=staff, now=NOW)
    assert status(license_) == Status.ACTIVE
    entries = AuditEntry.objects.filter(target_id=str(license_.pk)).order_by("id")
    assert [(entry.action, entry.actor, entry.detail.get("reason")) for entry in entries] == [
        ("license.issued", None, None),
        ("license.suspended", None, None),  # for payment
        ("license.suspended", staff, "Abuse report"),
        ("license.reinstated", staff, "Settled"),
    ]


def test_a_revoked_license_stays_revoked(system_scope: None, license_: License, staff: User) -> None:
    moderation.revoke(license_id=license_.pk, reason="Charged back", actor=staff)
    licenses.renew(license_id=license_.pk, renews_at=NOW + 30 * DAY, is_ending=False, now=NOW)
    licenses.end(license_id=license_.pk, at=NOW, now=NOW)
    assert status(license_) == Status.REVOKED
    for change in (moderation.suspend, moderation.reinstate):
        with pytest.raises(moderation.NotPossible):
            change(license_id=license_.pk, reason="Again", actor=staff, now=NOW)
    with pytest.raises(moderation.NotPossible):
        moderation.revoke(license_id=license_.pk, reason="Again", actor=staff)


def test_a_late_payment_brings_an_expired_license_back(system_scope: None, license_: License) -> None:
    licenses.end(license_id=license_.pk, at=NOW, now=NOW)
    assert status(license_) == Status.EXPIRED
    licenses.renew(license_id=license_.pk, renews_at=NOW + 30 * DAY, is_ending=False, now=NOW)
    assert status(license_) == Status.ACTIVE


def test_another_tier_changes_the_limits_and_keeps_use_and_key(
    system_scope: None, license_: License, license_key: str
) -> None:
    LicenseFeature.objects.filter(license=license_, slug="databases").update(used=40)
    licenses.change_policy(license_id=license_.pk, policy=policies.of_product("nextpanel-starter"))
    databases = LicenseFeature.objects.get(license=license_, slug="databases")
    assert (databases.limit, databases.used, databases.remaining) == (10, 40, 0)
    license_.refresh_from_db()
    assert vault.decrypt(license_.key_encrypted) == license_key


def test_a_feature_that_the_new_tier_lacks_is_closed_not_forgotten(
    system_scope: None, license_: License
) -> None:
    LicenseFeature.objects.filter(license=license_, slug="emails").update(used=3)
    starter = policies.of_product("nextpanel-starter")
    starter.features.filter(slug="emails").delete()
    licenses.change_policy(license_id=license_.pk, policy=starter)
    emails = LicenseFeature.objects.get(license=license_, slug="emails")
    assert (emails.limit, emails.used) == (0, 3)


def test_the_job_uses_the_test_clock_of_the_organization(organization: Organization, make_license) -> None:
    license_ = make_license(organization, renews_at=NOW + 30 * DAY)
    with tenancy.system("test"):
        assert licenses.sync_due_statuses(now=NOW) == 0
        Organization.objects.filter(pk=organization.pk).update(test_clock_time=NOW + 60 * DAY)
        assert licenses.sync_due_statuses(now=NOW) == 1
        license_.refresh_from_db()
    assert license_.status == Status.EXPIRED


def test_one_license_that_fails_does_not_keep_the_job_from_the_others(
    organization: Organization, make_license, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (make_license(organization, renews_at=NOW) for _ in range(2))
    store = licenses.store

    def store_others(license_: License, **dates) -> bool:
        if license_.pk == first.pk:
            raise RuntimeError("broken")
        return store(license_, **dates)

    monkeypatch.setattr(licenses, "store", store_others)
    with tenancy.system("test"):
        assert licenses.sync_due_statuses(now=NOW + 30 * DAY) == 1
        second.refresh_from_db()
    assert second.status == Status.EXPIRED
